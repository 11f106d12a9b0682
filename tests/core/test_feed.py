"""The latest verdicts in memory."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ledger_samples import a_record

from sidecar.core.feed import KEPT, Feed, is_wanted
from sidecar.model import Outcome, VerdictFilter

ANY = VerdictFilter()


def _feed(*seqs: int) -> Feed:
    feed = Feed()
    for seq in seqs:
        feed.add(replace(a_record(f"key-{seq}"), seq=seq))
    return feed


def test_a_follower_gets_what_lies_behind_its_position() -> None:
    """Oldest first, nothing twice."""
    found = _feed(4, 5, 6).since(ANY, after=4)

    assert found is not None
    assert [5, 6] == [record.seq for record in found]


def test_a_follower_that_is_up_to_date_gets_nothing() -> None:
    """An empty answer is not the same as not knowing."""
    assert [] == _feed(4, 5).since(ANY, after=5)


def test_a_follower_that_is_too_far_behind_must_ask_the_ledger() -> None:
    """The feed says so instead of leaving a gap."""
    assert _feed(4, 5).since(ANY, after=2) is None
    assert _feed().since(ANY, after=0) is None
    assert _feed(*range(1, KEPT + 3)).since(ANY, after=1) is None


def test_a_gap_sends_followers_to_the_ledger() -> None:
    """Another replica committed what lies in it."""
    feed = _feed(4, 5, 7)

    assert feed.since(ANY, after=4) is None
    assert [] == feed.since(ANY, after=7)


def test_what_passed_elsewhere_is_asked_from_the_ledger() -> None:
    """Nothing is kept that might lack its successor."""
    feed = _feed(4, 5)
    feed.miss()

    assert feed.since(ANY, after=5) is None


def test_filters_have_the_rules_of_the_ledger() -> None:
    """Sensor, category, outcome, and both ends of the time span included."""
    record = a_record()
    hour = timedelta(hours=1)
    passing = [
        VerdictFilter(sensor_id=record.sensor_id),
        VerdictFilter(category=record.category),
        VerdictFilter(outcome=record.outcome),
        VerdictFilter(since=record.timestamp, until=record.timestamp),
    ]
    failing = [
        VerdictFilter(sensor_id="other"),
        VerdictFilter(category="other"),
        VerdictFilter(outcome=Outcome.NONE),
        VerdictFilter(since=record.timestamp + hour),
        VerdictFilter(until=datetime(1999, 1, 1, tzinfo=UTC)),
    ]

    assert all(is_wanted(record, wanted) for wanted in passing)
    assert not any(is_wanted(record, wanted) for wanted in failing)
