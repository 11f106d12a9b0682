"""Nothing accepted is lost, nothing is decided twice, whatever fails. Seeds are fixed."""

from collections import Counter
from pathlib import Path

import pytest

from chaos.account import Account
from chaos.offers import MARK, Book, Offer
from chaos.receivers import Arrivals
from chaos.run import WORLDS, run_world
from sidecar.model import EventKind

SEED = 20260131
SECONDS = 60.0
KILLS = 10
KINDS = 12
"""Kinds of faults, kills included, that have to come to their end; that takes about a minute."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", WORLDS)
async def test_every_accepted_event_has_exactly_one_end(which: str, tmp_path: Path) -> None:
    """Kills, silence, full disks and wrong clocks lose and repeat nothing that was accepted."""
    report = await run_world(which, SEED, SECONDS, tmp_path, kills=KILLS, kinds=KINDS)

    print(report)  # noqa: T201 - pytest shows it when the test fails, with the seed
    assert report.is_right, str(report)
    assert report.kills >= KILLS
    assert len(report.happened) >= KINDS
    assert len(report.account.book.accepted()) > SECONDS


def _accepted(*marks: str) -> Book:
    book = Book()
    for mark in marks:
        offer = Offer(mark, EventKind.INCIDENT, b"{}", "" if "poison" in mark else "json")
        book.open(offer, "http").accepted = 1
    return book


def _arrived(*marks: str) -> Arrivals:
    found = Arrivals()
    for number, mark in enumerate(marks):
        found.add({"info": {MARK: mark.partition(" ")[0], "verdict": "confirmed"}, "n": number})
    return found


@pytest.mark.parametrize(
    ("complaint", "arrived", "dead"),
    [
        ("lost at sink: a through http, json", ["b"], ["poison"]),
        ("lost at dead letters: poison through http, poison", ["a", "b"], []),
        ("unknown: stranger", ["a", "b", "stranger"], ["poison"]),
        ("decided twice: b", ["a", "b", "b again"], ["poison"]),
        ("decided and dead-lettered: b", ["a", "b"], ["poison", "b"]),
        ("verified though malformed: poison", ["a", "b", "poison"], ["poison"]),
    ],
)
def test_the_account_names_every_broken_promise(
    complaint: str, arrived: list[str], dead: list[str]
) -> None:
    """What is lost, unknown, decided twice or has two ends is named with its mark."""
    book = _accepted("a", "b", "poison")
    good = Account(book, {"sink": _arrived("a", "b")}, Counter(["poison", "poison"]))

    account = Account(book, {"sink": _arrived(*arrived)}, Counter(dead))

    assert good.is_right
    assert not account.is_right
    assert complaint in "\n".join(account.complaints())
