"""Sorts the keys of a configuration by the table: values that mean something, and remarks."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from sidecar.vss.keys import KEYS
from sidecar.vss.rules import Draft, Null, Refused, Rule, Sets, Shapes, Unused, Values

_SECTIONS: Final = {
    key.rsplit(".", depth)[0] for key in KEYS for depth in range(1, key.count(".") + 1)
}
_KEEPS_BLANK: Final = frozenset({"prompt.default_system_prompt"})
"""Keys whose empty text is a value; elsewhere VSS takes it for none."""
_CLOSE: Final = 0.6


def read_keys(document: Mapping[str, Any], draft: Draft) -> Values:
    """Return what means something here; the draft gets a remark on everything else.

    Args:
        document: the configuration after substitution and YAML.
        draft: gets an error for a value that is refused or of the wrong kind.
    """
    values: dict[str, Any] = {}
    for key, value in _leaves(document, "", draft):
        rule = KEYS.get(key)
        if rule is None:
            draft.warn(key, f"is not known and does nothing.{_suggestion(key)}")
        elif value is None or (value == "" and key not in _KEEPS_BLANK):
            _read_empty(key, value, rule, draft, values)
        else:
            _read_value(key, value, rule, draft, values)
    return Values(values)


def _leaves(section: Mapping[str, Any], path: str, draft: Draft) -> Iterator[tuple[str, Any]]:
    """Walk down to the keys of the table, and to those that it does not have."""
    for name, value in section.items():
        key = f"{path}{name}"
        if key in KEYS or key not in _SECTIONS:
            yield key, value
        elif isinstance(value, Mapping):
            yield from _leaves(value, f"{key}.", draft)
        elif value is not None:
            draft.refuse(key, f"{value!r} stands where keys are expected, such as {_example(key)}.")


def _read_empty(key: str, value: object, rule: Rule, draft: Draft, values: dict[str, Any]) -> None:
    if not isinstance(rule, Sets) or value is not None:
        return
    if rule.null is Null.REFUSED:
        draft.refuse(key, 'has no value. Leave the key out, or write "" for none.')
    elif rule.null is Null.VALUE:
        values[key] = None


def _read_value(key: str, value: object, rule: Rule, draft: Draft, values: dict[str, Any]) -> None:
    match rule:
        case Refused(because):
            draft.refuse(key, f"{because}.")
        case Unused(because, missed_at):
            is_missed = missed_at is not None and value == missed_at
            (draft.warn if is_missed else draft.note)(key, f"not used, because {because}.")
        case Sets(kind=kind) | Shapes(kind=kind):
            try:
                values[key] = kind.read(value)
            except ValueError as error:
                draft.refuse(key, f"{error}.")


def _suggestion(key: str) -> str:
    """Name the nearest known key: the same name elsewhere, or a similar one."""
    name = key.rpartition(".")[2]
    moved = [known for known in KEYS if known.rpartition(".")[2] == name]
    near = get_close_matches(key, KEYS, 1, _CLOSE) if len(moved) != 1 else moved
    return f" Did you mean {near[0]}?" if near else ""


def _example(section: str) -> str:
    return next(key for key in KEYS if key.startswith(f"{section}."))
