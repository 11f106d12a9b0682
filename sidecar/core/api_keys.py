"""API keys: how they are made, kept, found and counted.

A key is 32 random bytes, and kept as its plain SHA-256. What makes hashes of passwords slow and
salted is that passwords can be guessed; nobody guesses 256 random bits, so a slow hash would only
slow down every request, and a salt would keep two equal keys apart that cannot be.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from sidecar.core.fresh_files import FreshFiles
from sidecar.errors import SettingsError
from sidecar.settings import ApiKeySettings, SecuritySettings, variable_of

PREFIX: Final = "sck_"
"""Lets scanners for leaked secrets, and `sidecar.redaction`, find a key in a text."""
_BYTES: Final = 32
_ONE_LINE: Final = 10_000
_PER_MINUTE_S: Final = 60.0
_FILE: Final = TypeAdapter(tuple[ApiKeySettings, ...])


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that is known, with its hash as bytes."""

    settings: ApiKeySettings
    digest: bytes


class KeyRing:
    """The keys of the settings, and of the file that they name, as it is now.

    Raises:
        SettingsError: the file cannot be used, or two keys are the same.
    """

    def __init__(self, settings: SecuritySettings) -> None:
        paths = [settings.keys_file] if settings.keys_file else []
        self._keys = FreshFiles(paths, partial(_all_keys, settings), "API keys")

    def find(self, shown: str) -> ApiKeySettings | None:
        """Return the key that somebody shows, or None.

        It takes as long for any key, so that the time tells nothing about those that are known.
        """
        return self.holder(digest_of(shown))

    def holder(self, digest: bytes) -> ApiKeySettings | None:
        """Return the key with this digest, as long as it is known."""
        found = None
        for key in self._keys.latest():
            if hmac.compare_digest(key.digest, digest):
                found = key.settings
        return found


class TokenBucket:
    """So many requests a minute, which come again evenly; up to so many at once."""

    def __init__(self, per_minute: int, now_s: float) -> None:
        self._per_minute = per_minute
        self._tokens = float(per_minute)
        self._at_s = now_s

    @property
    def per_minute(self) -> int:
        """The rate."""
        return self._per_minute

    def take(self, now_s: float) -> float:
        """Take one; returns 0, or in how many seconds there will be one."""
        self._refill(now_s)
        if self._tokens < 1:
            return (1 - self._tokens) * _PER_MINUTE_S / self._per_minute
        self._tokens -= 1
        return 0.0

    def borrow(self, count: int, now_s: float) -> float:
        """Take some that may not be there yet; returns how many seconds to wait for them."""
        self._refill(now_s)
        self._tokens -= count
        return max(0.0, -self._tokens * _PER_MINUTE_S / self._per_minute)

    def _refill(self, now_s: float) -> None:
        passed_s, self._at_s = now_s - self._at_s, now_s
        refilled = self._tokens + passed_s * self._per_minute / _PER_MINUTE_S
        self._tokens = min(refilled, float(self._per_minute))


def make_key() -> str:
    """Make a new key."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def digest_of(key: str) -> bytes:
    """Return the SHA-256 of a key."""
    return hashlib.sha256(key.encode()).digest()


def hash_key(key: str) -> str:
    """Return what the settings hold of a key."""
    return f"sha256:{digest_of(key).hex()}"


def describe_key(key: str, name: str, scopes: str, rate_per_minute: int | None = None) -> str:
    """Write the line of `security.keys_file` for a key, which is YAML.

    Args:
        key: itself.
        name: who has it.
        scopes: what it is for, separated by commas.
        rate_per_minute: None for no limit.

    Raises:
        SettingsError: the name or a scope is none.
    """
    asked = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    fields: dict[str, Any] = {"name": name, "hash": hash_key(key), "scopes": asked}
    if rate_per_minute is not None:
        fields["rate_per_minute"] = rate_per_minute
    try:
        ApiKeySettings.model_validate(fields)
    except ValidationError as error:
        raise SettingsError(f"No such key can be made: {_explain(error)}.") from None
    written = yaml.safe_dump(fields, default_flow_style=True, sort_keys=False, width=_ONE_LINE)
    return f"- {written.strip()}"


def _all_keys(settings: SecuritySettings) -> Sequence[ApiKey]:
    read = _read(settings.keys_file) if settings.keys_file else ()
    keys = [ApiKey(it, bytes.fromhex(it.hash.partition(":")[2])) for it in (*settings.keys, *read)]
    for what in ([key.settings.name for key in keys], [key.settings.hash for key in keys]):
        twice = next((it for it in what if what.count(it) > 1), None)
        if twice is not None:
            raise SettingsError(f"security.keys: {twice} is there twice. Remove one.")
    return keys


def _read(path: Path) -> Sequence[ApiKeySettings]:
    named = f"security.keys_file: {path}"
    advice = f"Correct it, or {variable_of('security.keys_file')}."
    try:
        return _FILE.validate_python(yaml.safe_load(path.read_text()) or ())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"{named} cannot be read ({reason}). {advice}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{named} is not valid YAML. {advice}") from error
    except ValidationError as error:
        raise SettingsError(f"{named} is no list of keys: {_explain(error)}. {advice}") from error


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, it['loc'])) or 'the file'}: {it['msg']}"
        for it in error.errors(include_url=False, include_input=False)
    )
