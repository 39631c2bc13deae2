import random
import string

import pytest

from slm_pipeline.s2_curate.redact.detection import find_structured
from slm_pipeline.s2_curate.redact.draws import Draw
from slm_pipeline.s2_curate.redact.secrets import RULES
from slm_pipeline.s2_curate.redact.surrogates import secret_like

RNG = random.Random(17)


def drawn(alphabet, n):
    """A digit at the end, so that a key never lacks one by chance."""
    return "".join(RNG.choice(alphabet) for _ in range(n - 1)) + RNG.choice([c for c in alphabet if c.isdigit()])


HEX, WORD, UPPER = "0123456789abcdef", string.ascii_letters + string.digits, string.ascii_uppercase + string.digits
# kind: text before the secret, the secret
EXAMPLES = {
    "PRIVATE_KEY": ("", f"-----BEGIN RSA PRIVATE KEY-----\n{drawn(WORD, 64)}\n{drawn(WORD, 40)}\n-----END RSA PRIVATE KEY-----"),
    "JWT": ("token ", f"eyJ{drawn(WORD, 20)}.eyJ{drawn(WORD, 40)}.{drawn(WORD, 43)}"),
    "AWS_ACCESS_KEY": ("", "AKIA" + drawn(UPPER, 16)),
    "GITHUB_TOKEN": ("", "ghp_" + drawn(WORD, 36)),
    "GITHUB_FINE_GRAINED_TOKEN": ("", "github_pat_" + drawn(WORD, 82)),
    "GITLAB_TOKEN": ("", "glpat-" + drawn(WORD, 20)),
    "SLACK_TOKEN": ("", f"xoxb-{drawn(string.digits, 12)}-{drawn(WORD, 24)}"),
    "SLACK_WEBHOOK": ("post to ", f"https://hooks.slack.com/services/T{drawn(UPPER, 8)}/B{drawn(UPPER, 8)}/{drawn(WORD, 24)}"),
    "DISCORD_WEBHOOK": ("", f"https://discord.com/api/webhooks/{drawn(string.digits, 18)}/{drawn(WORD, 68)}"),
    "TEAMS_WEBHOOK": ("", f"https://acme.webhook.office.com/webhookb2/{drawn(HEX, 36)}@{drawn(HEX, 36)}/IncomingWebhook/{drawn(HEX, 32)}"),
    "DISCORD_TOKEN": ("", f"M{drawn(WORD, 23)}.{drawn(WORD, 6)}.{drawn(WORD, 27)}"),
    "TELEGRAM_TOKEN": ("", f"{drawn(string.digits, 10)}:AA{drawn(WORD, 33)}"),
    "ANTHROPIC_KEY": ("", "sk-ant-api03-" + drawn(WORD, 95)),
    "OPENROUTER_KEY": ("", "sk-or-v1-" + drawn(HEX, 64)),
    "OPENAI_KEY": ("", "sk-proj-" + drawn(WORD, 48)),
    "NVIDIA_KEY": ("", "nvapi-" + drawn(WORD, 64)),
    "GROQ_KEY": ("", "gsk_" + drawn(WORD, 52)),
    "REPLICATE_TOKEN": ("", "r8_" + drawn(WORD, 37)),
    "HUGGING_FACE_TOKEN": ("", "hf_" + drawn(WORD, 34)),
    "XAI_KEY": ("", "xai-" + drawn(WORD, 80)),
    "PERPLEXITY_KEY": ("", "pplx-" + drawn(WORD, 48)),
    "GOOGLE_API_KEY": ("", "AIza" + drawn(WORD, 35)),
    "GOOGLE_OAUTH_TOKEN": ("", "ya29." + drawn(WORD, 60)),
    "GOOGLE_OAUTH_SECRET": ("", "GOCSPX-" + drawn(WORD, 28)),
    "STRIPE_KEY": ("", "sk_" + "live_" + drawn(WORD, 24)),
    "SQUARE_TOKEN": ("", "sq0atp-" + drawn(WORD, 22)),
    "SHOPIFY_TOKEN": ("", "shpat_" + drawn(HEX, 32)),
    "PAYPAL_TOKEN": ("", f"access_token$production${drawn(WORD, 16)}${drawn(HEX, 32)}"),
    "TWILIO_KEY": ("", "SK" + drawn(HEX, 32)),
    "SENDGRID_KEY": ("", f"SG.{drawn(WORD, 22)}.{drawn(WORD, 43)}"),
    "MAILGUN_KEY": ("", "key-" + drawn(HEX, 32)),
    "MAILCHIMP_KEY": ("", drawn(HEX, 32) + "-us12"),
    "BREVO_KEY": ("", f"xkeysib-{drawn(HEX, 64)}-{drawn(WORD, 16)}"),
    "DIGITALOCEAN_TOKEN": ("", "dop_v1_" + drawn(HEX, 64)),
    "HEROKU_KEY": ("", "HRKU-AA" + drawn(WORD, 58)),
    "DATABRICKS_TOKEN": ("", "dapi" + drawn(HEX, 32)),
    "VAULT_TOKEN": ("", "hvs." + drawn(WORD, 90)),
    "TERRAFORM_TOKEN": ("", f"{drawn(WORD, 14)}.atlasv1.{drawn(WORD, 67)}"),
    "PULUMI_TOKEN": ("", "pul-" + drawn(HEX, 40)),
    "DOPPLER_TOKEN": ("", "dp.pt." + drawn(WORD, 43)),
    "LINEAR_KEY": ("", "lin_api_" + drawn(WORD, 40)),
    "NOTION_TOKEN": ("", "ntn_" + drawn(WORD, 46)),
    "FIGMA_TOKEN": ("", "figd_" + drawn(WORD, 40)),
    "ATLASSIAN_TOKEN": ("", "ATATT3" + drawn(WORD, 186)),
    "AIRTABLE_TOKEN": ("", f"pat{drawn(WORD, 14)}.{drawn(HEX, 64)}"),
    "ASANA_TOKEN": ("", f"1/{drawn(string.digits, 16)}:{drawn(HEX, 32)}"),
    "NEW_RELIC_KEY": ("", "NRAK-" + drawn(UPPER, 27)),
    "GRAFANA_TOKEN": ("", f"glsa_{drawn(WORD, 32)}_{drawn(HEX, 8)}"),
    "SENTRY_TOKEN": ("", "sntrys_" + drawn(WORD, 80)),
    "DYNATRACE_TOKEN": ("", f"dt0c01.{drawn(UPPER, 24)}.{drawn(UPPER, 64)}"),
    "POSTMAN_KEY": ("", f"PMAK-{drawn(HEX, 24)}-{drawn(HEX, 34)}"),
    "PYPI_TOKEN": ("", "pypi-" + drawn(WORD, 100)),
    "NPM_TOKEN": ("", "npm_" + drawn(WORD, 36)),
    "RUBYGEMS_KEY": ("", "rubygems_" + drawn(HEX, 48)),
    "CRATES_TOKEN": ("", "cio" + drawn(WORD, 32)),
    "DOCKER_TOKEN": ("", "dckr_pat_" + drawn(WORD, 27)),
    "CLOUDFLARE_KEY": ("", f"v1.0-{drawn(HEX, 24)}-{drawn(HEX, 146)}"),
    "FLY_TOKEN": ("", "fo1_" + drawn(WORD, 43)),
    "SUPABASE_KEY": ("", "sbp_" + drawn(HEX, 40)),
    "PLANETSCALE_TOKEN": ("", "pscale_tkn_" + drawn(WORD, 43)),
    "CIRCLECI_TOKEN": ("", f"CCIPAT_{drawn(WORD, 22)}_{drawn(HEX, 40)}"),
    "BUILDKITE_TOKEN": ("", "bkua_" + drawn(HEX, 40)),
    "SONAR_TOKEN": ("", "squ_" + drawn(HEX, 40)),
    "FACEBOOK_TOKEN": ("", "EAAB" + drawn(WORD, 120)),
    "AGE_KEY": ("", "AGE-SECRET-KEY-1" + drawn("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)),
    "ONEPASSWORD_TOKEN": ("", "ops_eyJ" + drawn(WORD, 250)),
    "AZURE_CONNECTION_KEY": ("AccountName=acme;AccountKey=", drawn(WORD, 86) + "=="),
    "AZURE_SAS": ("https://acme.blob.core.windows.net/x?sv=2022&sig=", drawn(WORD, 43) + "%3D"),
    "AZURE_CLIENT_SECRET": ("", drawn(WORD, 3) + "8Q~" + drawn(WORD, 34)),
    "GCP_PRIVATE_KEY_ID": ('"private_key_id": "', drawn(HEX, 40)),
    "AWS_SECRET_KEY": ("aws_secret_access_key = ", drawn(WORD, 40)),
    "BASIC_AUTH": ("Authorization: Basic ", drawn(WORD, 24)),
    "BEARER_TOKEN": ("Authorization: Bearer ", drawn(WORD, 32)),
    "API_KEY_HEADER": ("x-api-key: ", drawn(WORD, 32)),
    "COOKIE": ("Cookie: sid=", drawn(WORD, 32)),
    "CREDENTIALS": ("amqp://", f"app:{drawn(WORD, 12)}"),
    "SECRET": ("my password is ", drawn(WORD, 12)),
}


def test_there_are_forty_kinds_and_more_and_each_has_an_example():
    assert len({rule.kind for rule in RULES}) >= 60
    assert {rule.kind for rule in RULES} == set(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_secret_is_found_and_replaced_by_one_of_the_same_form(kind):
    before, secret = EXAMPLES[kind]
    text = f"{before}{secret}" + ("@host/db" if kind == "CREDENTIALS" else '", and so on' if before.endswith('"') else "\nand so on")
    finds = find_structured(text)
    inside = [f for f in finds if f.start <= len(before) and f.end >= len(before) + len(secret)]
    assert [f.kind for f in inside] == [kind]
    made = secret_like(kind, secret, Draw(b"key", kind))
    assert made != secret
    assert len(made) == len(secret)
    assert [c for c in made if not c.isalnum()] == [c for c in secret if not c.isalnum()]
    assert kind in {f.kind for f in find_structured(text.replace(secret, made))}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('"X-Api-Key": "a8d7f6e5c4b3a291"', "a8d7f6e5c4b3a291"),
        ("contraseña: Verano!2024", "Verano!2024"),
        ("密码：Xk29dkal3".replace("：", ": "), "Xk29dkal3"),
        ("The session_id=9f8e7d6c5b4a expired", "9f8e7d6c5b4a"),
        ("COHERE_KEY: zX81mqLkfoP2", "zX81mqLkfoP2"),
        ("your PIN is 4821", "4821"),
        ("the passphrase is c0rrect-h0rse", "c0rrect-h0rse"),
    ],
)
def test_what_is_called_a_secret_is_one(text, secret):
    assert [text[f.start : f.end] for f in find_structured(text)] == [secret]


def test_slugs_that_begin_like_a_key_stay():
    for text in (
        "the sk-learn-compatible-estimators-page",
        "task-force-of-twenty-people-in-the-office",
        "npm_config_registry",
        "hf_hub_download",
    ):
        assert find_structured(text) == ()
