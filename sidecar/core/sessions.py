"""Who is signed in to the operator's page: kept by this process, and gone with it.

A session stands for the API key that it was opened with, not for what that key could do then: a
key that is taken out of the settings, or gets other scopes, changes its sessions at once.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from sidecar.core.api_keys import digest_of
from sidecar.ports import Clock

MOST: Final = 1000
"""Sessions at the same time; one more ends the oldest."""
_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is signed in.

    Attributes:
        digest: SHA-256 of the key.
        csrf: what requests that change something must show, which other pages cannot read.
        ends_s: by the monotonic clock.
    """

    digest: bytes
    csrf: str
    ends_s: float


class Sessions:
    """Opens, finds and ends sessions.

    Args:
        clock: by which they end.
        lasts_s: how long one lasts, however much it is used.
    """

    def __init__(self, clock: Clock, lasts_s: float) -> None:
        self.lasts_s = lasts_s
        self._clock = clock
        self._open: dict[bytes, Session] = {}

    def open(self, key: str) -> tuple[str, Session]:
        """Open one; returns the secret that its browser keeps, of which we only keep the hash."""
        now_s = self._clock.monotonic()
        kept = [it for it in self._open.items() if it[1].ends_s > now_s]
        self._open = dict(kept[-(MOST - 1) :])
        token = secrets.token_urlsafe(_BYTES)
        session = Session(digest_of(key), secrets.token_urlsafe(_BYTES), now_s + self.lasts_s)
        self._open[_hash(token)] = session
        return token, session

    def find(self, token: str) -> Session | None:
        """Return the session of a secret; None when there is none, or it is over."""
        session = self._open.get(_hash(token)) if token else None
        is_over = session is None or session.ends_s <= self._clock.monotonic()
        return None if is_over else session

    def remaining_s(self, session: Session) -> float:
        """Tell how long it still lasts."""
        return max(0.0, session.ends_s - self._clock.monotonic())

    def close(self, token: str) -> None:
        """End one, if it is there."""
        self._open.pop(_hash(token), None)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
