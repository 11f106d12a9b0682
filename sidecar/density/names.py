"""Names of offered events. Each tells which answer is right, so that a mixed-up one is seen."""

import hashlib
import re
import secrets
from typing import Final

_NAME: Final = re.compile(r"density-[0-9a-f]{8}-\d{7}-(yes|no)")


def new_run() -> str:
    """Return a name for a run that no other has."""
    return secrets.token_hex(4)


def name_event(run: str, number: int) -> str:
    """Name an event of a run; about half of them are to be confirmed."""
    digest = hashlib.blake2b(f"{run}:{number}".encode(), digest_size=1).digest()
    return f"density-{run}-{number:07d}-{'yes' if digest[0] % 2 else 'no'}"


def is_true(name: str) -> bool:
    """Tell whether the event is to be confirmed."""
    return name.endswith("-yes")


def answer_in(text: str) -> str | None:
    """Find the right answer in a text or URL that names an event."""
    found = _NAME.search(text)
    return found[1] if found else None
