"""Who calls, and what they may do. All frozen."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What a caller may do.

    READ: verdicts, alert types, rules, files. SUBMIT: events, reviews, chats, uploads.
    LABEL: say what an event really was. ADMIN: change what the service does; implies the others.
    """

    READ = "read"
    SUBMIT = "submit"
    LABEL = "label"
    ADMIN = "admin"


ALL_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whom a door let in.

    Attributes:
        name: of its key, `certificate:<name>`, or `anonymous@<address>` where no key is asked for.
        scopes: what it may do.
        is_proven: whether it showed a key or a certificate.
    """

    name: str
    scopes: frozenset[Scope]
    is_proven: bool = True

    def may(self, needed: Scope) -> bool:
        """Tell whether it may do what needs a scope."""
        return not {needed, Scope.ADMIN}.isdisjoint(self.scopes)


ANONYMOUS: Final = Principal("anonymous", ALL_SCOPES, is_proven=False)
"""Whoever asks where nobody is asked for a name, such as a test or this process itself."""
NOBODY: Final = Principal("nobody", frozenset(), is_proven=False)
"""Whoever asks for what everybody may see."""


def in_order(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """Return scopes as they are shown, the least powerful first."""
    return tuple(scope for scope in Scope if scope in set(scopes))
