"""Who is let in at a door, and for what."""

import ipaddress
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from sidecar.access import ALL_SCOPES, NOBODY, Principal, Scope
from sidecar.core.api_keys import KeyRing, TokenBucket
from sidecar.errors import Forbidden, RateLimited, RequestError, SettingsError, Unauthenticated
from sidecar.ports import AccessMeter, Clock
from sidecar.settings import ApiKeySettings, Network, SecuritySettings, Settings, variable_of


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a door knows about who calls.

    Attributes:
        key: the API key that is shown; "" for none.
        address: IP address of the other side; "" where there is none.
        certificate: name in the client's certificate, which was verified; "" for none.
        digest: of the API key that the visitor signed in with before; b"" for none.
    """

    key: str = ""
    address: str = ""
    certificate: str = ""
    digest: bytes = b""


class RateLimits:
    """How much of its rate each key has left, over all doors."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, key: ApiKeySettings) -> float:
        """Count a request; returns 0, or in how many seconds the next one is allowed."""
        bucket = self._bucket(key)
        return 0.0 if bucket is None else bucket.take(self._clock.monotonic())

    def borrow(self, key: ApiKeySettings, count: int) -> float:
        """Count what is there already; returns how many seconds not to take more."""
        bucket = self._bucket(key)
        return 0.0 if bucket is None else bucket.borrow(count, self._clock.monotonic())

    def _bucket(self, key: ApiKeySettings) -> TokenBucket | None:
        if key.rate_per_minute is None:
            return None
        bucket = self._buckets.get(key.name)
        if bucket is None or bucket.per_minute != key.rate_per_minute:
            bucket = TokenBucket(key.rate_per_minute, self._clock.monotonic())
            self._buckets[key.name] = bucket
        return bucket


class Gate:
    """Lets callers in at one door.

    Args:
        door: its name in metrics.
        keys: of everybody who has one.
        limits: of keys; all doors share them.
        trusted: networks whose callers need no key.
        is_open: whether nobody needs one.
        meter: counts who is refused.
    """

    def __init__(
        self,
        door: str,
        keys: KeyRing,
        limits: RateLimits,
        meter: AccessMeter,
        *,
        trusted: tuple[Network, ...] = (),
        is_open: bool = False,
    ) -> None:
        self._door = door
        self._keys = keys
        self._limits = limits
        self._meter = meter
        self._trusted = trusted
        self._is_open = is_open

    @property
    def is_open(self) -> bool:
        """Tell whether nobody needs a key here."""
        return self._is_open

    @property
    def asks_where_from(self) -> bool:
        """Tell whether somebody without a key may be let in, by where the call comes from."""
        return self._is_open or bool(self._trusted)

    def admit(self, visitor: Visitor, needed: Scope) -> Principal:
        """Let a caller in.

        Raises:
            Unauthenticated: nobody knows it.
            Forbidden: it may not do what needs this scope.
            RateLimited: it asks more often than its key may.
        """
        with self.counting():
            return self._admit(visitor, needed)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count whatever is refused inside."""
        try:
            yield
        except RequestError as error:
            self._meter.refused(self._door, error)
            raise

    def recognise(self, visitor: Visitor) -> Principal:
        """Return who calls for what everybody may see; nothing is refused or counted."""
        key = self._key_of(visitor)
        return _holder(key) if key else self._keyless(visitor) or NOBODY

    def borrow(self, visitor: Visitor, count: int) -> float:
        """Count further parts of a call that was admitted; returns how many seconds to wait."""
        key = self._key_of(visitor)
        return self._limits.borrow(key, count) if key else 0.0

    def sign_in(self, key: str) -> Principal:
        """Return who holds a key.

        Raises:
            Unauthenticated: nobody does.
        """
        with self.counting():
            found = self._keys.find(key)
            if found is None:
                raise Unauthenticated(_UNKNOWN)
            return _holder(found)

    def _key_of(self, visitor: Visitor) -> ApiKeySettings | None:
        if visitor.key:
            return self._keys.find(visitor.key)
        return self._keys.holder(visitor.digest) if visitor.digest else None

    def _admit(self, visitor: Visitor, needed: Scope) -> Principal:
        key = self._key_of(visitor)
        principal = _holder(key) if key else self._keyless(visitor)
        if principal is None:
            raise Unauthenticated(_UNKNOWN if visitor.key or visitor.digest else _MISSING)
        if not principal.may(needed):
            raise Forbidden(f"The key {principal.name!r} lacks the scope {needed.value!r}.")
        wait_s = self._limits.take(key) if key else 0.0
        if wait_s:
            raise RateLimited(
                f"The key {principal.name!r} may be used {key and key.rate_per_minute} times a "
                "minute. Send again when the time in Retry-After is over.",
                math.ceil(wait_s),
            )
        return principal

    def _keyless(self, visitor: Visitor) -> Principal | None:
        if visitor.certificate:
            return Principal(f"certificate:{visitor.certificate}", ALL_SCOPES)
        if self._is_open or self._trusts(visitor.address):
            return Principal(f"anonymous@{visitor.address}", ALL_SCOPES, is_proven=False)
        return None

    def _trusts(self, address: str) -> bool:
        if not self._trusted:
            return False
        parsed = parse_address(address)
        return parsed is not None and any(parsed in network for network in self._trusted)


_MISSING = "Show an API key in the header `Authorization: Bearer KEY`, or in `X-API-Key`."
_UNKNOWN = "The API key is not known. `sidecar keys new` makes one, and says where to put it."


def _holder(key: ApiKeySettings) -> Principal:
    return Principal(key.name, frozenset(key.scopes))


@lru_cache(maxsize=4096)
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; one of IPv4 that is written as IPv6 is one of IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens on a host."""
    address = parse_address(host)
    return host == "localhost" if address is None else address.is_loopback


def is_open(security: SecuritySettings, host: str) -> bool:
    """Tell whether a door on this host asks nobody for a key."""
    return is_loopback(host) and not (security.keys or security.keys_file)


def find_exposures(settings: Settings) -> Iterator[SettingsError]:
    """Yield an error for each door that others can reach while nothing says who may call.

    Leaving something out never opens a door to other machines.
    """
    security, rpc = settings.security, settings.grpc
    if security.keys or security.keys_file or security.trusted_networks:
        return
    if not is_loopback(settings.http.host):
        yield _exposure("http", settings.http.host)
    if rpc.enabled and rpc.tls.client_ca is None and not is_loopback(rpc.host):
        yield _exposure("grpc", rpc.host, f"{variable_of('grpc.tls.client_ca')}, ")


def _exposure(door: str, host: str, more: str = "") -> SettingsError:
    return SettingsError(
        f"{door}.host: other machines can reach {host}, and nothing says who may call. Set "
        f"{variable_of('security.keys_file')} (`sidecar keys new` makes keys), {more}"
        f"{variable_of('security.trusted_networks')} to the networks whose callers need no key, "
        f"such as 172.18.0.0/16, or {variable_of(f'{door}.host')}=127.0.0.1."
    )
