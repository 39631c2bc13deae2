"""Rules for secrets: keys and tokens whose form gives them away, and values that are assigned to a telling name."""

from slm_pipeline.s2_curate.rules import Rule, Text

NAMES = (
    r"[\w\-]{0,32}(?:pass(?:word|wd|code|phrase)|pwd|secret|(?:api|access|secret|private)[_\- ]?key|(?:auth|access)[_\- ]?token|credential)"
    r"|\btoken"
)
TOKENS = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{36,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"glpat-[A-Za-z0-9_\-]{20,}",  # GitLab
    r"xox[abeprs]-[A-Za-z0-9\-]{10,}",  # Slack
    r"sk-[A-Za-z0-9_\-]{20,}",  # OpenAI, Anthropic
    r"nvapi-[A-Za-z0-9_\-]{20,}",  # NVIDIA
    r"AIza[0-9A-Za-z_\-]{35}",  # Google
    r"ya29\.[0-9A-Za-z_\-]{20,}",
    r"[rsp]k_(?:live|test)_[0-9A-Za-z]{16,}",  # Stripe
    r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_\-]{50,}",
    r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}",  # SendGrid
    r"dop_v1_[a-f0-9]{64}",  # DigitalOcean
    r"[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}",  # Telegram
)


def _looks_secret(text: Text, start: int, end: int) -> bool:
    """Not code, a path, a placeholder or a word: letters and digits mixed, or a symbol as in a password."""
    value = text[start:end]
    mixed = any(c.isalpha() for c in value) and any(c.isdigit() for c in value)
    symbols = any(c in "!@#$%^&*" for c in value) and any(c.isalnum() for c in value)
    code = any(c in "(){}[]<>|`\\" for c in value) or value.startswith(
        ("$", "%", "&", "*", "@", "self.", "os.", "process.env", "http://", "https://")
    )
    return (mixed or symbols) and not code and "your" not in value.lower() and not value.lower().startswith(("example", "xxx"))


RULES = (
    Rule("PRIVATE_KEY", r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY-----"),
    Rule("JWT", r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"),
    Rule("TOKEN", rf"\b(?:{'|'.join(TOKENS)})"),
    Rule("TOKEN", r"(?i)\bauthorization\W{1,6}(?:bearer|basic|token)\s+([A-Za-z0-9._~+/\-]{8,}=*)", group=1),
    Rule("TOKEN", r"(?i)\bbearer\s+([A-Za-z0-9._~+/\-]{16,}=*)", _looks_secret, group=1),
    Rule("CREDENTIALS", r"\b[A-Za-z][A-Za-z0-9+.\-]*://([^\s/:@\"'<>]+:[^\s/@\"'<>]+)@", group=1),
    Rule(
        "SECRET",
        rf"(?i)(?:{NAMES})[\"']?(?:\s{{0,2}}(?:=|:|:=|=>)\s{{0,2}}|\s(?:is|was)(?: now)?:?\s)[\"'`]?([^\s\"',;`]{{5,128}}[^\s\"',;`.!?])",
        _looks_secret,
        group=1,
    ),
)
