"""Rules for secrets: keys and tokens whose form gives them away, and values that are assigned to a telling name.

Written from the providers' own descriptions of their keys; gitleaks, detect-secrets and trufflehog are the field's reference lists.
"""

import re
from functools import cache

from slm_pipeline.s2_curate.redact.rules import Rule, Text

HEX = "[0-9a-f]"
KEY = r"[A-Za-z0-9_\-]"
WORD = "[A-Za-z0-9]"
# kind; letters, in lower case, of which every match holds one; form
FORMS = (
    ("AWS_ACCESS_KEY", "akia asia abia acca", r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
    ("GITHUB_TOKEN", "ghp_ gho_ ghu_ ghs_ ghr_", rf"gh[pousr]_{WORD}{{36,255}}"),
    ("GITHUB_FINE_GRAINED_TOKEN", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    (
        "GITLAB_TOKEN",
        "glpat- glptt- gldt- glrt- glcbt- glsoat- glffct- glimt- glagent- gloas-",
        rf"gl(?:pat|ptt|dt|rt|cbt|soat|ffct|imt|agent|oas)-{KEY}{{20,255}}",
    ),
    ("SLACK_TOKEN", "xox xapp-", r"xox[abeoprs]-[A-Za-z0-9\-]{10,255}|xapp-[0-9]-[A-Za-z0-9\-]{20,255}"),
    ("SLACK_WEBHOOK", "https://hooks.slack.com/", r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/+]{20,120}"),
    ("DISCORD_WEBHOOK", "/api/webhooks/", rf"https://(?:[a-z]+\.)?discord(?:app)?\.com/api/webhooks/[0-9]{{17,20}}/{KEY}{{40,90}}"),
    (
        "TEAMS_WEBHOOK",
        ".webhook.office.com/webhookb2/",
        r"https://[a-z0-9\-]{1,60}\.webhook\.office\.com/webhookb2/[A-Za-z0-9@\-/]{40,250}",
    ),
    ("DISCORD_TOKEN", "", rf"[MNO][A-Za-z0-9]{{23,27}}\.{KEY}{{6}}\.{KEY}{{27,40}}"),
    ("TELEGRAM_TOKEN", ":aa", rf"[0-9]{{8,10}}:AA{KEY}{{33}}\b"),
    ("ANTHROPIC_KEY", "sk-ant-", rf"sk-ant-{KEY}{{20,255}}"),
    ("OPENROUTER_KEY", "sk-or-v1-", rf"sk-or-v1-{HEX}{{64}}"),
    ("OPENAI_KEY", "sk- sess-", rf"sk-{KEY}{{20,255}}|sess-{WORD}{{40}}"),
    ("NVIDIA_KEY", "nvapi-", rf"nvapi-{KEY}{{20,255}}"),
    ("GROQ_KEY", "gsk_", rf"gsk_{WORD}{{40,80}}"),
    ("REPLICATE_TOKEN", "r8_", rf"r8_{WORD}{{37,40}}"),
    ("HUGGING_FACE_TOKEN", "hf_ api_org_", rf"(?:hf_|api_org_){WORD}{{30,60}}"),
    ("XAI_KEY", "xai-", rf"xai-{WORD}{{40,100}}"),
    ("PERPLEXITY_KEY", "pplx-", rf"pplx-{WORD}{{40,64}}"),
    ("GOOGLE_API_KEY", "aiza", rf"AIza{KEY}{{35}}"),
    ("GOOGLE_OAUTH_TOKEN", "ya29.", rf"ya29\.{KEY}{{20,255}}"),
    ("GOOGLE_OAUTH_SECRET", "gocspx-", rf"GOCSPX-{KEY}{{28}}"),
    ("STRIPE_KEY", "k_live_ k_test_ k_prod_ whsec_", rf"[rsp]k_(?:live|test|prod)_{WORD}{{16,247}}|whsec_{WORD}{{24,64}}"),
    ("SQUARE_TOKEN", "sq0 eaaa", rf"sq0(?:atp|csp|idp)-{KEY}{{22,60}}|EAAA{KEY}{{60}}"),
    ("SHOPIFY_TOKEN", "shpat_ shpca_ shppa_ shpss_ shptka_", r"shp(?:at|ca|pa|ss|tka)_[a-fA-F0-9]{32}"),
    ("PAYPAL_TOKEN", "access_token$", rf"access_token\$(?:production|sandbox)\${WORD}{{16}}\${HEX}{{32}}"),
    ("TWILIO_KEY", "sk ac", rf"(?:SK|AC){HEX}{{32}}\b"),
    ("SENDGRID_KEY", "sg.", rf"SG\.{KEY}{{16,32}}\.{KEY}{{16,64}}"),
    ("MAILGUN_KEY", "key-", rf"key-{HEX}{{32}}\b|pubkey-{HEX}{{32}}\b"),
    ("MAILCHIMP_KEY", "-us", rf"{HEX}{{32}}-us[0-9]{{1,2}}\b"),
    ("BREVO_KEY", "xkeysib-", rf"xkeysib-{HEX}{{64}}-{WORD}{{16}}"),
    ("DIGITALOCEAN_TOKEN", "dop_v1_ doo_v1_ dor_v1_", rf"do[opr]_v1_{HEX}{{64}}"),
    ("HEROKU_KEY", "hrku-", rf"HRKU-(?:AA{KEY}{{58}}|{HEX}{{8}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{12}})"),
    ("DATABRICKS_TOKEN", "dapi", rf"dapi{HEX}{{32}}(?:-[0-9])?\b"),
    ("VAULT_TOKEN", "hvs. hvb. hvr.", rf"hv[sbr]\.{KEY}{{24,255}}"),
    ("TERRAFORM_TOKEN", ".atlasv1.", rf"{WORD}{{14}}\.atlasv1\.{KEY}{{60,70}}"),
    ("PULUMI_TOKEN", "pul-", rf"pul-{HEX}{{40}}\b"),
    ("DOPPLER_TOKEN", "dp.", rf"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9\-_]{{2,35}}\.)?{WORD}{{40,44}}"),
    ("LINEAR_KEY", "lin_api_ lin_oauth_", rf"lin_(?:api|oauth)_{WORD}{{40,64}}"),
    ("NOTION_TOKEN", "secret_ ntn_", rf"secret_{WORD}{{43}}\b|ntn_{WORD}{{40,50}}"),
    ("FIGMA_TOKEN", "figd_ figo_ figr_ figh_", rf"fig[dorh]_{KEY}{{40,255}}"),
    ("ATLASSIAN_TOKEN", "atatt3 atctt3 atbb", r"ATATT3[A-Za-z0-9_\-=]{40,255}|ATCTT3[A-Za-z0-9_\-=]{40,255}|ATBB[A-Za-z0-9_=.\-]{28,40}"),
    ("AIRTABLE_TOKEN", "pat", rf"pat{WORD}{{14}}\.{HEX}{{64}}"),
    ("ASANA_TOKEN", "", rf"[0-9]/[0-9]{{10,20}}(?:/[0-9]{{10,20}})?:{HEX}{{32}}\b"),
    ("NEW_RELIC_KEY", "nrak- nrii- nrjs- nrra-", rf"NR(?:AK|II|JS|RA)-{KEY}{{19,42}}"),
    ("GRAFANA_TOKEN", "glsa_ glc_", rf"glsa_{WORD}{{32}}_{HEX}{{8}}|glc_[A-Za-z0-9+/]{{32,400}}={{0,2}}"),
    ("SENTRY_TOKEN", "sntrys_ sntryu_", r"sntr(?:ys|yu)_[A-Za-z0-9_+/=\-]{40,400}"),
    ("DYNATRACE_TOKEN", "dt0", r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    ("POSTMAN_KEY", "pmak-", rf"PMAK-{HEX}{{24}}-{HEX}{{34}}"),
    ("PYPI_TOKEN", "pypi-", rf"pypi-{KEY}{{50,255}}"),
    ("NPM_TOKEN", "npm_", rf"npm_{WORD}{{36}}\b"),
    ("RUBYGEMS_KEY", "rubygems_", rf"rubygems_{HEX}{{48}}"),
    ("CRATES_TOKEN", "cio", rf"cio{WORD}{{32}}\b"),
    ("DOCKER_TOKEN", "dckr_", rf"dck(?:r_pat|r_oat)_{KEY}{{27,60}}"),
    ("CLOUDFLARE_KEY", "v1.0- cfut_ cfat_", rf"v1\.0-{HEX}{{24}}-{HEX}{{146}}|cf(?:ut|at)_{KEY}{{40,60}}"),
    ("FLY_TOKEN", "fo1_ fm1 fm2", r"fo1_[A-Za-z0-9_\-]{43}|fm[12][ar]?_[A-Za-z0-9+/=]{50,400}"),
    ("SUPABASE_KEY", "sbp_ sb_secret_", rf"sb(?:p_{HEX}{{40}}|_secret_{KEY}{{20,60}})"),
    ("PLANETSCALE_TOKEN", "pscale_", rf"pscale_(?:tkn|pw|oauth)_{KEY}{{32,64}}"),
    ("CIRCLECI_TOKEN", "ccipat_", rf"CCIPAT_{WORD}{{20,30}}_{HEX}{{40}}"),
    ("BUILDKITE_TOKEN", "bkua_", rf"bkua_{HEX}{{40}}"),
    ("SONAR_TOKEN", "squ_ sqp_ sqa_", rf"sq[upa]_{HEX}{{40}}"),
    ("FACEBOOK_TOKEN", "eaa", rf"EAA[A-Z]{WORD}{{60,250}}"),
    ("AGE_KEY", "age-secret-key-1", r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    ("AZURE_CLIENT_SECRET", "q~", r"[A-Za-z0-9_~.\-]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,34}"),
    ("ONEPASSWORD_TOKEN", "ops_eyj", r"ops_eyJ[A-Za-z0-9+/]{100,}={0,2}"),
)
NAMES = (
    r"[\w\-]{0,32}(?:pass(?:word|wd|code|phrase)|passwort|contraseña|mot de passe|pwd|secret|credential|密码"
    r"|(?:api|access|secret|private|auth|account|storage|shared|subscription|cohere|mistral)[_\- ]?key"
    r"|(?:auth|access|refresh|bearer|session|id)[_\- ]?token)"
    r"|\btoken|\bpin\b|\bsession[_\-]?id|\bsid|sessid"
)
NAME_NEEDS = ("pass", "pwd", "secret", "key", "token", "credential", "contraseña", "密码", "pin", "session", "sid", "sessid")


_DRAWN = re.compile(r"(\[(?:\\.|[^\]\\])*\])(\{(?:[3-9]|\d\d+)(?:,\d*)?\})")


@cache
def _drawn_parts(kind: str) -> tuple[re.Pattern, tuple[str, ...]] | None:
    """The form of a kind with a group around each part that is drawn, and the characters that each may hold."""
    form = next((form for name, _, form in FORMS if name == kind), None)
    if form is None:
        return None
    alphabets = ("".join(c for c in map(chr, range(33, 127)) if re.fullmatch(part[1], c)) for part in _DRAWN.finditer(form))
    return re.compile(_DRAWN.sub(r"(\1\2)", form)), tuple(alphabets)


def drawn_parts(kind: str, value: str) -> list[tuple[int, int, str]]:
    """(start, end, characters it may hold) of each part of a secret that is drawn; what stands between is the same in all of its kind."""
    parts = _drawn_parts(kind)
    match = parts and parts[0].fullmatch(value)
    return [(*match.span(n), alphabet) for n, alphabet in enumerate(parts[1], 1) if match.start(n) >= 0] if match else []


def _looks_secret(text: Text, start: int, end: int) -> bool:
    """Not code, a path, a placeholder or a word: letters and digits mixed, or a symbol as in a password."""
    value = text[start:end]
    mixed = any(c.isalpha() for c in value) and any(c.isdigit() for c in value)
    symbols = any(c in "!@#$%^&*" for c in value) and any(c.isalnum() for c in value)
    code = any(c in "(){}[]<>|`\\" for c in value) or value.startswith(
        ("$", "%", "&", "*", "@", "self.", "os.", "process.env", "http://", "https://")
    )
    return (mixed or symbols) and not code and "your" not in value.lower() and not value.lower().startswith(("example", "xxx"))


def _mixed(text: Text, start: int, end: int) -> bool:
    """Digits and capitals, as in a drawn key: not a slug of words that begins alike."""
    value = text[start:end]
    return any(c.isdigit() for c in value) and not re.search(r"[\w]\Z", text[max(0, start - 1) : start])


RULES = (
    Rule("PRIVATE_KEY", r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
         r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----", needs=("private key",)),
    Rule("JWT", r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*", needs=("eyj",)),
    *(Rule(kind, rf"(?:\b(?:{form}))", _mixed, needs=tuple(needs.split()), digits=1) for kind, needs, form in FORMS),
    Rule("AZURE_CONNECTION_KEY", r"(?i)(?:Account|SharedAccess|Shared)Key=([A-Za-z0-9+/]{40,100}={0,2})", group=1, needs=("key=",)),
    Rule("AZURE_SAS", r"[?&;]sig=([A-Za-z0-9%+/]{30,120}=?)", group=1, needs=("sig=",)),
    Rule("GCP_PRIVATE_KEY_ID", rf"\"private_key_id\"\s*:\s*\"({HEX}{{40}})\"", group=1, needs=("private_key_id",)),
    Rule("AWS_SECRET_KEY", r"(?i)aws.{0,20}?(?:secret|key).{0,20}?[\s\"'=:]([A-Za-z0-9/+]{40})\b", _looks_secret, group=1, needs=("aws",)),
    Rule("BASIC_AUTH", r"(?i)\bbasic\s+([A-Za-z0-9+/]{8,400}={0,2})", _looks_secret, group=1, needs=("basic ",)),
    Rule("BEARER_TOKEN", r"(?i)\bauthorization\W{1,6}(?:bearer|token)\s+([A-Za-z0-9._~+/\-]{8,}=*)", group=1, needs=("authorization",)),
    Rule("BEARER_TOKEN", r"(?i)\bbearer\s+([A-Za-z0-9._~+/\-]{16,}=*)", _looks_secret, group=1, needs=("bearer",)),
    Rule("API_KEY_HEADER", r"(?i)\bx-(?:api-key|auth-token|access-token|goog-api-key)[\"']?\s?[:=]\s?[\"']?([A-Za-z0-9._~+/=\-]{8,400})",
         _looks_secret, group=1, needs=("x-",)),
    Rule("COOKIE", r"(?i)\b(?:set-)?cookie[\"']?: ?[\"']?[\w\-.]{1,60}=([^\s;\"']{6,})", group=1, needs=("cookie",)),
    Rule("CREDENTIALS", r"\b[A-Za-z][A-Za-z0-9+.\-]{0,20}://([^\s/:@\"'<>]+:[^\s/@\"'<>]+)@", group=1, needs=("://",)),
    Rule(
        "SECRET",
        rf"(?i)(?:{NAMES})[\"']?(?:\s{{0,2}}(?:=|:|:=|=>)\s{{0,2}}|\s(?:is|was)(?: now)?:?\s)[\"'`]?"
        r"([^\s\"',;`]{3,128}[^\s\"',;`.!?)\]}>])",
        _looks_secret,
        group=1,
        needs=NAME_NEEDS,
    ),
    Rule("SECRET", r"(?i)\bpin(?: code| number)?(?:\s{0,2}[:=]\s{0,2}|\sis\s)([0-9]{4,8})\b", group=1, needs=("pin",), digits=4),
)  # fmt: skip
