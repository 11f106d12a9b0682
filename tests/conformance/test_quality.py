"""That nothing is claimed in `adapters/quality.yaml` that is not tested."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.kit import QUALITY

from sidecar.settings import DEFAULT_ADAPTERS

RULES = QUALITY["rules"]
CLAIMS = QUALITY["adapters"]
PLACES = ("exempt", "todo")


def rules_of_tests() -> Iterator[str]:
    """Yield the names in the `rule` decorators of the tests in this folder."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        functions = [
            node
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
        ]
        for call in (mark for function in functions for mark in function.decorator_list):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "rule":
                yield ast.literal_eval(call.args[0])


def test_the_adapters_that_exist_are_the_ones_listed():
    """A new adapter has to say what it does before it is shipped."""
    assert sorted(DEFAULT_ADAPTERS) == sorted(CLAIMS)


def test_every_rule_says_what_it_means_and_where_it_comes_from():
    """A rule is a sentence and a source, and nothing else."""
    unclear = [name for name, rule in RULES.items() if sorted(rule) != ["means", "source"]]

    assert [] == unclear
    assert all(text.endswith(".") for rule in RULES.values() for text in rule.values())


@pytest.mark.parametrize("adapter", CLAIMS)
def test_each_adapter_takes_a_stand_on_every_rule(adapter):
    """Exactly once: done, to do or exempt."""
    claim = CLAIMS[adapter]
    excused = [
        name for place in PLACES for entry in claim.get(place, []) for name in entry["rules"]
    ]

    assert sorted(RULES) == sorted([*claim["done"], *excused])


@pytest.mark.parametrize("adapter", CLAIMS)
def test_what_is_not_done_has_a_reason(adapter):
    """A sentence says why a rule does not hold, or not yet."""
    entries = [entry for place in PLACES for entry in CLAIMS[adapter].get(place, [])]

    assert all(entry["why"].endswith(".") for entry in entries)


def test_done_is_what_a_test_shows():
    """Each rule that an adapter claims has a test that runs for it, and no test is for no rule."""
    claimed = {name for claim in CLAIMS.values() for name in claim["done"]}

    assert sorted(claimed) == sorted(set(rules_of_tests()))
