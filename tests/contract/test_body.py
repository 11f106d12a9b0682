"""From request bytes to a JSON object."""

import pytest

from sidecar.contract.body import parse_json_object
from sidecar.errors import InvalidRequest


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "missing"),
        (b"  \n", "missing"),
        (b"{", "json_invalid"),
        (b'{"a": NaN}', "json_invalid"),
        (b'{"a": -Infinity}', "json_invalid"),
        (b'\xff\xfe{"a":1}', "json_invalid"),
        (b'{"a": "\\ud800"}', "json_invalid"),
        (b"[1]", "json_object_expected"),
        (b'"text"', "json_object_expected"),
        (b"null", "json_object_expected"),
        (b'{"a":' * 5 + b"1" + b"}" * 5, "nesting_too_deep"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "json_invalid"),
    ],
)
def test_a_body_that_is_no_json_object_is_named_as_such(body: bytes, kind: str) -> None:
    """Each way to be wrong has its own type."""
    with pytest.raises(InvalidRequest) as caught:
        parse_json_object(body, max_depth=4)

    assert kind == caught.value.issues[0].type


def test_nan_is_explained() -> None:
    """The most common non-JSON of numeric pipelines is called by its name."""
    with pytest.raises(InvalidRequest, match="NaN and Infinity are not JSON"):
        parse_json_object(b'{"speed": NaN}', max_depth=4)


def test_depth_counts_the_outermost_object() -> None:
    """As many levels as the limit says are allowed, no more."""
    assert {"a": {"b": [1]}} == parse_json_object(b'{"a":{"b":[1]}}', max_depth=3)
    with pytest.raises(InvalidRequest):
        parse_json_object(b'{"a":{"b":[1]}}', max_depth=2)
