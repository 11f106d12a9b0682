"""API keys for tests."""

from pathlib import Path
from typing import Any

from sidecar.core.api_keys import describe_key, hash_key

READER, SUBMITTER, LABELLER, ADMIN = (
    f"the {who}'s" for who in ("reader", "submitter", "labeller", "admin")
)
"""Keys, one for each scope."""
SCOPES = {READER: "read", SUBMITTER: "submit", LABELLER: "label", ADMIN: "admin"}


def a_key(key: str, scopes: str, **more: Any) -> dict[str, Any]:
    """Return the settings of a key, whose name is that of its scopes."""
    name = scopes.replace(",", "-")
    return {"name": name, "hash": hash_key(key), "scopes": scopes.split(","), **more}


def one_of_each() -> list[dict[str, Any]]:
    """Return the settings of a key for each scope."""
    return [a_key(key, scope) for key, scope in SCOPES.items()]


def bearer(key: str) -> dict[str, str]:
    """Return the header that shows a key."""
    return {"Authorization": f"Bearer {key}"}


def write_keys(path: Path, *keys: str) -> Path:
    """Write a file of keys that may do everything, named by their place."""
    lines = [describe_key(key, f"key-{place}", "admin") for place, key in enumerate(keys, 1)]
    path.write_text("\n".join(lines))
    return path
