"""Which network addresses the service may dial on behalf of an event."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from sidecar.errors import MediaForbidden

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are the IPv4 address that is reached."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Public addresses are allowed, and those in `allowed`; every other one is refused."""

    allowed: tuple[Network, ...] = ()

    def allows(self, address: Address) -> bool:
        """Tell whether `address` may be dialled, and the IPv4 address inside it as well."""
        reached = embedded_ipv4(address) or address
        return any(a in net for a in (address, reached) for net in self.allowed) or is_public(
            reached
        )

    def check_literal(self, host: str) -> bool:
        """Check a host that is written as an address, in any spelling that systems accept.

        Returns:
            False when it is a name, about which this says nothing.

        Raises:
            MediaForbidden: the address may not be dialled.
        """
        address = parse_literal(host)
        if address is not None and not self.allows(address):
            raise _forbidden(host)
        return address is not None

    def check_answers(self, host: str, answers: Sequence[ResolveResult]) -> None:
        """Check everything that a name resolved to; one bad address among good ones is enough.

        Raises:
            MediaForbidden: one of the addresses may not be dialled.
        """
        if not all(self.allows(ip_address(answer["host"])) for answer in answers):
            raise _forbidden(host)


class GuardedResolver(AbstractResolver):
    """Resolves through `inner` and gives out only answers that were all checked.

    As aiohttp dials exactly what its resolver answers, nothing can change between the check and
    the connection (DNS rebinding).
    """

    def __init__(self, inner: AbstractResolver, policy: AddressPolicy) -> None:
        self._inner = inner
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve `host`.

        Raises:
            MediaForbidden: an answer may not be dialled.
            OSError: the name does not resolve.
        """
        answers = await self._inner.resolve(host, port, family)
        self._policy.check_answers(host, answers)
        return answers

    async def close(self) -> None:
        """Do nothing: `inner` belongs to the caller."""


def is_public(address: Address) -> bool:
    """Tell whether an address is reachable by everybody and meant for one receiver.

    Wider than `is_global`, which lets multicast and the deprecated `::127.0.0.1` pass.
    """
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or site_local)


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that a mapped, 6to4 or NAT64 address leads to."""
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def parse_literal(host: str) -> Address | None:
    """Read an address as the C library does: `2130706433`, `0x7f.1` and `127.1` are 127.0.0.1."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _forbidden(host: str) -> MediaForbidden:
    return MediaForbidden(
        f"The media host {host} leads to an address that is not public. "
        "If that is intended, list its network in SIDECAR_MEDIA__ALLOWED_NETWORKS."
    )
