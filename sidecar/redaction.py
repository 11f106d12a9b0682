"""Takes out of texts what nobody may read in a log, an error, or the audit trail."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_URL: Final = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)([^\s'\"<>]*)")
_PATTERNS: Final = (
    # media in base64
    (
        ("data:",),
        re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,80}[^,\s]{0,80},[\w+/=,-]*"),
        "data:...",
    ),
    # headers; shorter words may be prose
    (
        ("bearer", "basic", "apikey"),
        re.compile(r"(?i)\b(bearer|basic|apikey)(\s{1,3})[\w.~+/=-]{16,}"),
        r"\1\2***",
    ),
    # key=value and "key": "value", such as in messages of client libraries; not the prose of our
    # own errors, which begin with the name of a setting
    (
        ("=", "':", '":', "' :", '" :'),
        re.compile(
            r"(?i)\b(pass(?:word|wd)?|secret|token|api[_-]?key|access[_-]?key|signature)"
            r"(\s{0,3}=\s{0,3}['\"]?|['\"]\s?:\s{0,3}['\"])[^\s'\"&,;}]{1,1000}"
        ),
        r"\1\2***",
    ),
    # API keys of the sidecar
    (("sck_",), re.compile(r"\bsck_[\w-]{8,}"), "sck_***"),
)
"""What every match holds in lower case, quick to look for; the pattern; what replaces it."""


def redact(text: str) -> str:
    """Return a text without credentials, query strings of URLs, and media in base64.

    URLs of any scheme lose what stands before an `@`, and what follows a `?` or `#`. Takes time in
    proportion to the text.
    """
    if "://" in text:
        text = _URL.sub(_bare, text)
    lowered = text.lower()
    for marks, pattern, replacement in _PATTERNS:
        if any(mark in lowered for mark in marks):
            text = pattern.sub(replacement, text)
    return text


def redact_all(value: Any) -> Any:
    """Return JSON whose texts went through `redact`; keys stay."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redact_all(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [redact_all(item) for item in value]
    return value


def _bare(match: re.Match[str]) -> str:
    """Write a URL without its secrets. A password may hold `?` and `#`, which it should not."""
    scheme, rest = match.groups()
    authority, slash, path = rest.partition("/")
    login, at, place = authority.rpartition("@")
    shown = f"{'***@' if at else login}{place}{slash}{path}"
    kept = re.split(r"[?#]", shown, maxsplit=1)
    return f"{scheme}{kept[0]}{'?...' if len(kept) > 1 else ''}"
