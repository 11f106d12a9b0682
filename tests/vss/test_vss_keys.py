"""The tables of VSS's keys and variables are whole, and lead to settings that exist."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from sidecar.settings import Settings
from sidecar.vss.environment import VARIABLES
from sidecar.vss.keys import KEYS
from sidecar.vss.rules import Refused, Sets, Unused

HERE = Path(__file__).parent
SETTERS = [rule for rule in (*KEYS.values(), *VARIABLES.values()) if isinstance(rule, Sets)]


def known_keys() -> Iterator[str]:
    for line in (HERE / "known_keys.txt").read_text().splitlines():
        section, separator, names = line.partition(":")
        if line.startswith("#"):
            continue
        yield from (f"{section}.{name}" for name in names.split()) if separator else [section]


def ancestors(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def is_whole(key: str) -> bool:
    rule = KEYS.get(key)
    return isinstance(rule, Unused | Refused) and rule.whole


def test_every_known_key_has_a_rule() -> None:
    """No key that VSS has is missing from the table."""
    missing = [
        key for key in known_keys() if key not in KEYS and not any(map(is_whole, ancestors(key)))
    ]

    assert missing == []


def test_every_rule_is_for_a_known_key() -> None:
    """The table holds no key that VSS does not have."""
    known = set(known_keys())
    sections = {section for key in known for section in ancestors(key)}

    assert [key for key in KEYS if key not in known | sections] == []


def test_every_known_variable_has_a_rule() -> None:
    """What VSS's compose files set, and its code reads, is in the table, and nothing else is."""
    lines = (HERE / "known_variables.txt").read_text().splitlines()
    known = {name for line in lines if not line.startswith("#") for name in line.split()}

    assert known == set(VARIABLES)


def test_a_whole_rule_hides_no_other() -> None:
    """No key below one whose rule holds for everything has a rule of its own."""
    assert [key for key in KEYS if any(map(is_whole, ancestors(key)))] == []


@pytest.mark.parametrize("rule", SETTERS, ids=lambda rule: rule.setting)
def test_a_rule_leads_to_a_setting(rule: Sets) -> None:
    """Whatever a key sets exists in the settings."""
    section: type[BaseModel] = Settings
    *path, leaf = rule.setting.split(".")
    for name in path:
        annotation = section.model_fields[name].annotation
        models = [annotation, *get_args(annotation)]
        section = next(m for m in models if isinstance(m, type) and issubclass(m, BaseModel))

    assert leaf in section.model_fields


def test_reasons_end_the_sentence() -> None:
    """A reason is a part of a sentence, so that «not used, because ...» reads well."""
    unused = [rule.because for rule in KEYS.values() if isinstance(rule, Unused)]

    assert [text for text in unused if not text or text.endswith(".")] == []
