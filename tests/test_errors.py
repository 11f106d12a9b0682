"""The error tree and its table."""

from collections.abc import Iterator

import pytest

from sidecar import errors
from sidecar.errors import ROWS, MediaRoute, RequestError, SidecarError, VerificationError


def _leaves(root: type[SidecarError]) -> Iterator[type[SidecarError]]:
    children = root.__subclasses__()
    if not children:
        yield root
    for child in children:
        yield from _leaves(child)


def test_every_leaf_has_a_row_and_every_row_a_leaf() -> None:
    """Adding an error without deciding what it means at the borders fails here."""
    leaves = {*_leaves(RequestError), *_leaves(VerificationError)}

    assert leaves == set(ROWS)


def test_the_drawing_shows_every_error() -> None:
    """The tree in the module docstring is complete."""
    drawn = errors.__doc__ or ""
    missing = [error.__name__ for error in ROWS if error.__name__ not in drawn]

    assert [] == missing


def test_reasons_are_unique() -> None:
    """A reason names one kind of refusal, and one kind of failure."""
    for root in (RequestError, VerificationError):
        reasons = [row.reason for kind, row in ROWS.items() if issubclass(kind, root)]
        assert len(reasons) == len(set(reasons))


@pytest.mark.parametrize("kind", sorted(_leaves(VerificationError), key=lambda it: it.__name__))
@pytest.mark.parametrize("route", MediaRoute)
def test_every_failure_is_worded_for_every_route(
    kind: type[VerificationError], route: MediaRoute
) -> None:
    """A failed verification always has a code, a status text, a source and VSS's metric label."""
    row = ROWS[kind]
    wording = row.worded(kind("the cause"), route)

    assert 400 <= wording.code < 600
    assert wording.status
    assert "{" not in wording.status
    assert row.source is not None
    assert row.metric


def test_braces_in_a_cause_are_text() -> None:
    """What the outside world says is never taken for a template."""
    error = errors.VlmTimeout("{detail} {0}")

    assert "VLM request timed out, {detail} {0}" == (
        ROWS[errors.VlmTimeout].worded(error, MediaRoute.LOCAL).status
    )
