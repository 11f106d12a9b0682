"""`${VAR}` in VSS's configuration."""

import pytest

from sidecar.vss.substitution import substitute

ENVIRONMENT = {"NAME": "cosmos", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: ${NAME}", "a: cosmos"),
        ("a: ${NAME}/v1 ${NAME}", "a: cosmos/v1 cosmos"),
        ("a: ${MISSING}/v1", "a: /v1"),
        ("a: ${EMPTY:-x}", "a: x"),
        ("a: ${EMPTY-x}", "a: "),
        ("a: ${MISSING-x}", "a: x"),
        ("a: ${MISSING:-http://x:1}", "a: http://x:1"),
        ("a: ${NAME:-x}", "a: cosmos"),
        ("a: ${MISSING:-}", "a: "),
        ("a: $NAME $${NAME}", "a: $NAME $cosmos"),
        ("# ${MISSING}", "# ${MISSING}"),
    ],
)
def test_variables_are_replaced(text: str, expected: str) -> None:
    """A variable is replaced by its value, by its default, or by nothing, as compose and VSS do."""
    replaced, _ = substitute(text, ENVIRONMENT)

    assert replaced == expected + "\n"


def test_an_unset_variable_is_named() -> None:
    """A variable that stands for nothing is told with its line; one with a default is not."""
    _, remarks = substitute("# c\na: ${MISSING}\nb: ${OTHER:-1}\nc: ${EMPTY}\n", ENVIRONMENT)

    assert [("MISSING", "line 2"), ("EMPTY", "line 4")] == [
        (remark.key, remark.text[:6]) for remark in remarks
    ]
