"""`${VAR}` in a configuration file, as VSS's `env-substitute.py` does it before the start."""

import re
from collections.abc import Mapping
from typing import Final

from sidecar.vss.rules import Remark

_VARIABLE: Final = re.compile(
    r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?-)(?P<default>[^}]*))?\}"
)


def substitute(text: str, environment: Mapping[str, str]) -> tuple[str, list[Remark]]:
    """Put the environment's values in the place of `${VAR}` and `${VAR:-default}`.

    A variable that is not set becomes an empty text, as in VSS, with a warning that names it.
    `${VAR:-default}` is more than VSS knows; compose files write it so. Comments are left alone.
    """
    remarks: list[Remark] = []
    lines = [
        line if line.lstrip().startswith("#") else _substitute(line, number, environment, remarks)
        for number, line in enumerate(text.splitlines(), 1)
    ]
    return "\n".join(lines) + "\n", remarks


def _substitute(
    line: str, number: int, environment: Mapping[str, str], remarks: list[Remark]
) -> str:
    def value_of(match: re.Match[str]) -> str:
        name = match["name"]
        value = environment.get(name)
        if match["operator"] is not None:
            is_missing = value is None or (match["operator"] == ":-" and not value)
            return match["default"] if is_missing else value or ""
        if not value:
            text = f"line {number} uses it and it is not set, so that nothing stands there. Set it."
            remarks.append(Remark("warning", name, text))
        return value or ""

    return _VARIABLE.sub(value_of, line)
