"""Reads files of variables with the reason that stands before each line."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HW_ENVS = ROOT / "hw_envs"
COMPOSE = ROOT / "compose"


@dataclass(frozen=True)
class Line:
    """One variable.

    Attributes:
        reason: the comment right before it, "" when there is none.
    """

    name: str
    value: str
    reason: str
    number: int


def read_lines(path: Path) -> list[Line]:
    """Read a file; anything but comments, blank lines and NAME=value is an error."""
    lines, reason = [], ""
    for number, text in enumerate(path.read_text("utf-8").splitlines(), 1):
        if text.startswith("#"):
            reason = f"{reason} {text.lstrip('# ')}".strip()
        elif not text.strip():
            reason = ""
        else:
            name, equals, value = text.partition("=")
            assert equals, f"{path}:{number}: {text}"
            assert name.isupper(), f"{path}:{number}: {text}"
            lines.append(Line(name, _plain(value), reason, number))
            reason = ""
    return lines


def values_of(path: Path) -> dict[str, str]:
    """Return the variables of a file."""
    return {line.name: line.value for line in read_lines(path)}


def _plain(value: str) -> str:
    """Take off the quotes that a JSON value needs in such a file."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == "'" else value


def hw_names() -> list[str]:
    """List the profiles."""
    return sorted(path.stem for path in HW_ENVS.glob("*.env"))


def compose_files() -> list[Path]:
    """List the compose files."""
    return sorted(COMPOSE.glob("*.yml"))
