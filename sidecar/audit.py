"""What was changed, by whom and why. All frozen."""

import getpass
import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change of what the service does.

    Attributes:
        at: when it was made.
        actor: who made it: the name of a `Principal`, or `cli:<user>`.
        action: what was done to what, such as `alert_config.replace`.
        target: which one, such as the name of the alert type.
        before, after: what it was and is, in JSON, without credentials; None where there is none.
        reason: why, in the actor's words.
        seq: place in the trail, from 1; 0 before it is stored.
    """

    at: datetime
    actor: str
    action: str
    target: str
    before: Any = None
    after: Any = None
    reason: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who asks for a change, and why."""

    actor: str
    reason: str = ""

    def entry(
        self, at: datetime, action: str, target: str, *, before: Any = None, after: Any = None
    ) -> AuditEntry:
        """Write down a change that was asked for so."""
        return AuditEntry(at, self.actor, action, target, before, after, self.reason)


def of_command(reason: str) -> Attribution:
    """Return who runs a command of ours: by name, or by number in a container without names."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Attribution(f"cli:{user}", reason)
