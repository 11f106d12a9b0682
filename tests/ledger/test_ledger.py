"""What every ledger does, whatever it is made of."""

import asyncio
from datetime import timedelta

import pytest
from ledger_samples import T0, a_record, an_event, take

from sidecar.errors import Overloaded
from sidecar.model import (
    Accepted,
    Delivery,
    DeliveryState,
    EventKind,
    Journey,
    Offer,
    Origin,
    Outcome,
    StoredEvent,
    VerdictFilter,
    VerdictRecord,
)
from sidecar.ports import Ledger
from sidecar.testing.fakes import FrozenClock

ANY = VerdictFilter()


async def decide(ledger: Ledger, key: str, *sinks: str, **changes: object) -> VerdictRecord:
    record = await ledger.commit(a_record(key, **changes), sinks)
    assert record is not None
    return record


async def test_accept_tells_new_from_known(ledger: Ledger) -> None:
    """The first event of a key is new, the second is not, and no verdict exists yet."""
    answers = [await ledger.accept(an_event()), await ledger.accept(an_event())]

    assert answers == [Accepted("key-1", is_new=True), Accepted("key-1", is_new=False)]
    assert await ledger.backlog() == 1


async def test_accept_of_a_decided_key_answers_with_its_verdict(ledger: Ledger) -> None:
    """A key that was decided is not work again; its verdict comes back at once."""
    await ledger.accept(an_event())
    record = await decide(ledger, "key-1")

    assert await ledger.accept(an_event()) == Accepted("key-1", is_new=False, verdict=record)
    assert await take(ledger, 10) == []


async def test_concurrent_accepts_of_one_key_make_one_event(ledger: Ledger) -> None:
    """Of many callers with the same key exactly one is told that it is new."""
    answers = await asyncio.gather(*(ledger.accept(an_event()) for _ in range(20)))

    assert [answer.is_new for answer in answers].count(True) == 1
    assert len(await take(ledger, 10)) == 1


async def test_full_backlog_refuses_new_events(ledger: Ledger) -> None:
    """The refusal names the numbers and a way out; known keys still get their answer."""
    for number in range(5):
        await ledger.accept(an_event(f"key-{number}"))

    with pytest.raises(Overloaded, match=r"5 events wait .* at most 5 may\. Send again"):
        await ledger.accept(an_event("key-5"))
    assert not (await ledger.accept(an_event("key-0"))).is_new
    assert await ledger.backlog() == 5


async def test_many_offers_are_answered_as_each_would_be(ledger: Ledger) -> None:
    """In their order: new, known from the same group, decided; every name finds its event."""
    await ledger.accept(an_event("decided"))
    record = await decide(ledger, "decided")
    keys = ("key-1", "key-2", "key-1", "decided")
    answers = await ledger.accept_all([Offer(an_event(key)) for key in keys])
    found = [await ledger.lookup(f"id of {key}") for key in ("key-1", "key-2")]

    assert answers == [
        Accepted("key-1", is_new=True),
        Accepted("key-2", is_new=True),
        Accepted("key-1", is_new=False),
        Accepted("decided", is_new=False, verdict=record),
    ]
    assert ["key-1", "key-2"] == [stored.key for stored in found if isinstance(stored, StoredEvent)]
    waiting = await ledger.waiting(after=0, limit=10)
    assert ["key-1", "key-2"] == [stored.key for stored in waiting]


async def test_of_many_offers_those_that_find_no_room_are_refused(ledger: Ledger) -> None:
    """The others are accepted, and known keys still get their answer."""
    keys = [*(f"key-{number}" for number in range(7)), "key-0"]
    answers = await ledger.accept_all([Offer(an_event(key)) for key in keys])

    assert [Accepted] * 5 + [Overloaded] * 2 + [Accepted] == [type(answer) for answer in answers]
    assert await ledger.backlog() == 5


async def test_of_many_offers_those_are_taken_up_that_ask_for_it(ledger: Ledger) -> None:
    """The rest can be claimed by anybody."""
    offers = [Offer(an_event("a"), claim=True), Offer(an_event("b")), Offer(an_event("c"))]
    await ledger.accept_all(offers)

    waiting = await ledger.waiting(after=0, limit=10)
    assert ["b", "c"] == [stored.key for stored in waiting]
    assert [] == list(await ledger.accept_all([]))


async def test_verdict_makes_room_in_the_backlog(ledger: Ledger) -> None:
    """A decided event no longer counts."""
    for number in range(5):
        await ledger.accept(an_event(f"key-{number}"))
    await decide(ledger, "key-3")

    assert (await ledger.accept(an_event("key-5"))).is_new
    assert await ledger.backlog() == 5


async def test_claim_gives_the_event_as_it_was_accepted(ledger: Ledger) -> None:
    """Kind, origin and every unknown field of the raw event come back."""
    event = an_event(kind=EventKind.ALERT, origin=Origin.ON_DEMAND)
    await ledger.accept(event)

    expected = StoredEvent("key-1", EventKind.ALERT, Origin.ON_DEMAND, event.raw, attempt=1)
    assert await take(ledger, 10) == [expected]


async def test_claim_takes_the_oldest_once(ledger: Ledger) -> None:
    """Events are claimed in the order of their acceptance, and none by two claims."""
    for key in ("b", "a", "c"):
        await ledger.accept(an_event(key))
    first, second, third = [await take(ledger, 2) for _ in range(3)]

    assert [event.key for event in first] == ["b", "a"]
    assert [event.key for event in second] == ["c"]
    assert third == []


async def test_concurrent_claims_share_no_event(ledger: Ledger) -> None:
    """Claims at the same time divide the events between them."""
    keys = [f"key-{number}" for number in range(5)]
    for key in keys:
        await ledger.accept(an_event(key))
    wanted = (keys[:3], keys[2:], keys[1:4], keys)
    batches = await asyncio.gather(*(ledger.claim(some) for some in wanted))

    assert sorted(event.key for batch in batches for event in batch) == keys


async def test_looking_takes_nothing(ledger: Ledger) -> None:
    """What waits is listed again and again, oldest first, and from any place on."""
    for key in ("b", "a", "c"):
        await ledger.accept(an_event(key))
    first = await ledger.waiting(after=0, limit=2)
    rest = await ledger.waiting(after=first[-1].position, limit=10)

    assert ["b", "a", "c"] == [event.key for event in (*first, *rest)]
    assert list(first) == list(await ledger.waiting(after=0, limit=2))
    assert await ledger.waiting(after=rest[-1].position, limit=10) == []


async def test_a_place_is_never_given_twice(ledger: Ledger) -> None:
    """Whoever looks behind the last event that it saw misses none, though that one is decided."""
    await ledger.accept(an_event("a"))
    await ledger.accept(an_event("b"))
    seen = (await ledger.waiting(after=0, limit=10))[-1].position
    await decide(ledger, "b")
    await decide(ledger, "a")
    await ledger.accept(an_event("c"))

    assert ["c"] == [event.key for event in await ledger.waiting(after=seen, limit=10)]


async def test_what_is_taken_is_not_listed(ledger: Ledger) -> None:
    """Claimed, decided and unknown events wait for nobody; what is given back waits again."""
    for key in ("a", "b", "c"):
        await ledger.accept(an_event(key))
    await decide(ledger, "c")
    claimed = await ledger.claim(["nobody", "c", "b"])

    assert ["b"] == [event.key for event in claimed]
    assert ["a"] == [event.key for event in await ledger.waiting(after=0, limit=10)]
    await ledger.release("b")
    assert ["a", "b"] == [event.key for event in await ledger.waiting(after=0, limit=10)]


async def test_released_event_comes_first_again_with_the_same_attempt(ledger: Ledger) -> None:
    """Giving an event back does not count as an attempt, and it keeps its place."""
    await ledger.accept(an_event("a"))
    await ledger.accept(an_event("b"))
    await take(ledger, 1)
    await ledger.release("a")

    claimed = await take(ledger, 10)
    assert [(event.key, event.attempt) for event in claimed] == [("a", 1), ("b", 1)]


async def test_release_of_an_unclaimed_event_changes_nothing(ledger: Ledger) -> None:
    """A release without a claim does not lower the attempts."""
    await ledger.accept(an_event())
    await ledger.release("key-1")

    assert [event.attempt for event in await take(ledger, 1)] == [1]


async def test_commit_returns_the_record_with_its_position(ledger: Ledger) -> None:
    """`seq` grows with each verdict, and the newest is the last."""
    first = await decide(ledger, "a")
    second = await decide(ledger, "b")

    assert first == a_record("a", seq=first.seq)
    assert 0 < first.seq < second.seq == await ledger.last_seq()


async def test_last_seq_of_an_empty_ledger_is_zero(ledger: Ledger) -> None:
    """Without verdicts the newest position is 0."""
    assert await ledger.last_seq() == 0


async def test_second_commit_of_a_key_changes_nothing(ledger: Ledger) -> None:
    """The first verdict stays, and nothing more is published."""
    record = await decide(ledger, "key-1", "sink")
    again = await ledger.commit(a_record(outcome=Outcome.REJECTED), ["sink"])

    assert again is None
    assert await ledger.lookup("key-1") == record
    assert len(await ledger.due("sink", T0, 10)) == 1


async def test_lookup_finds_an_undecided_event_by_all_its_names(ledger: Ledger) -> None:
    """Key, submitted id and fingerprint lead to the stored event."""
    await ledger.accept(an_event())

    stored = StoredEvent("key-1", EventKind.INCIDENT, Origin.PIPELINE, an_event().raw)
    for name in ("key-1", "id of key-1", "fingerprint of key-1"):
        assert await ledger.lookup(name) == stored


async def test_lookup_finds_a_verdict_by_all_names_of_its_event(ledger: Ledger) -> None:
    """Ids under which the same event was submitted again lead to its verdict too."""
    await ledger.accept(an_event())
    await ledger.accept(an_event(id="before the verdict"))
    record = await decide(ledger, "key-1")
    await ledger.accept(an_event(id="after the verdict"))

    names = ("key-1", "id of key-1", "fingerprint of key-1")
    for name in (*names, "before the verdict", "after the verdict"):
        assert await ledger.lookup(name) == record


async def test_lookup_of_nothing_known(ledger: Ledger) -> None:
    """An unknown name and an empty one lead nowhere."""
    await ledger.accept(an_event(id=""))

    assert await ledger.lookup("unknown") is None
    assert await ledger.lookup("") is None


async def test_shared_name_means_the_latest_verdict(ledger: Ledger) -> None:
    """Updates of an incident share a fingerprint: the one decided last is what it stands for."""
    for key in ("a", "b", "c"):
        await ledger.accept(an_event(key, fingerprint="incident"))
    await decide(ledger, "b", fingerprint="incident")
    latest = await decide(ledger, "a", fingerprint="incident")

    assert await ledger.lookup("incident") == latest


async def test_shared_name_without_a_verdict_means_the_latest_event(ledger: Ledger) -> None:
    """Before any verdict, the event that was accepted last answers."""
    for key in ("a", "b"):
        await ledger.accept(an_event(key, fingerprint="incident"))
    found = await ledger.lookup("incident")

    assert isinstance(found, StoredEvent)
    assert found.key == "b"


async def test_query_lists_newest_first_in_pages(ledger: Ledger) -> None:
    """The last `seq` of a page is where the next one goes on."""
    for key in "abcde":
        await decide(ledger, key)
    first = await ledger.query(ANY, limit=2)
    second = await ledger.query(ANY, limit=2, before=first[-1].seq)
    third = await ledger.query(ANY, limit=2, before=second[-1].seq)

    assert [[record.key for record in page] for page in (first, second, third)] == [
        ["e", "d"],
        ["c", "b"],
        ["a"],
    ]


async def test_since_lists_oldest_first_behind_a_position(ledger: Ledger) -> None:
    """A follower that gives the last `seq` it saw misses nothing and sees nothing twice."""
    records = [await decide(ledger, key) for key in "abcd"]

    assert await ledger.since(ANY, after=0, limit=2) == records[:2]
    assert await ledger.since(ANY, after=records[1].seq, limit=10) == records[2:]
    assert await ledger.since(ANY, after=records[3].seq, limit=10) == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (VerdictFilter(sensor_id="camera-2"), "db"),
        (VerdictFilter(category="fire"), "dc"),
        (VerdictFilter(outcome=Outcome.REJECTED), "b"),
        (VerdictFilter(outcome=Outcome.NONE), "c"),
        (VerdictFilter(since=T0 + timedelta(seconds=2)), "dc"),
        (VerdictFilter(until=T0 + timedelta(seconds=1)), "ba"),
        (VerdictFilter(since=T0 + timedelta(seconds=1), until=T0 + timedelta(seconds=2)), "cb"),
        (VerdictFilter(sensor_id="camera-2", category="fire"), "d"),
        (VerdictFilter(category="fire", outcome=Outcome.CONFIRMED, since=T0), "d"),
        (VerdictFilter(sensor_id="camera-2", until=T0 + timedelta(seconds=2)), "b"),
        (VerdictFilter(sensor_id="camera-3"), ""),
    ],
)
async def test_filters_narrow_the_list(
    ledger: Ledger, wanted: VerdictFilter, expected: str
) -> None:
    """Each criterion works alone and together with others, in both directions."""
    second = timedelta(seconds=1)
    await decide(ledger, "a")
    await decide(ledger, "b", sensor_id="camera-2", outcome=Outcome.REJECTED, timestamp=T0 + second)
    await decide(ledger, "c", category="fire", outcome=Outcome.NONE, timestamp=T0 + 2 * second)
    await decide(ledger, "d", sensor_id="camera-2", category="fire", timestamp=T0 + 3 * second)

    newest = await ledger.query(wanted, limit=10, before=1000)
    oldest = await ledger.since(wanted, after=0, limit=10)
    assert "".join(record.key for record in newest) == expected
    assert "".join(record.key for record in oldest) == expected[::-1]


async def test_commit_leaves_an_entry_for_each_sink(ledger: Ledger) -> None:
    """Every sink finds the verdict in its own outbox, and only there."""
    record = await decide(ledger, "key-1", "webhook", "console")

    for sink in ("webhook", "console"):
        (entry,) = await ledger.due(sink, T0, 10)
        assert (entry.sink, entry.record, entry.attempts) == (sink, record, 0)
    assert await ledger.due("other", T0, 10) == []


async def test_due_lists_the_oldest_first_up_to_the_limit(
    ledger: Ledger, clock: FrozenClock
) -> None:
    """Entries come in the order in which they fell due."""
    for key in "abc":
        await decide(ledger, key, "sink")
        clock.advance(1)

    entries = await ledger.due("sink", clock.now(), 2)
    assert [entry.record.key for entry in entries] == ["a", "b"]


async def test_a_fresh_delivery_does_not_wait_for_the_clock(
    ledger: Ledger, clock: FrozenClock
) -> None:
    """It is due at once, even when the clock was set back after its commit."""
    clock.advance(3600)
    await decide(ledger, "key-1", "sink")

    (entry,) = await ledger.due("sink", T0, 10)
    assert (entry.record.key, entry.attempts) == ("key-1", 0)


async def test_a_retry_that_a_fast_clock_scheduled_does_not_wait(ledger: Ledger) -> None:
    """What is scheduled for later than anybody does was scheduled by a clock that was ahead."""
    for key in "abc":
        await decide(ledger, key, "sink")
    entries = await ledger.due("sink", T0, 10)
    soon, late = T0 + timedelta(minutes=5), T0 + timedelta(hours=1)
    for entry, retry_at in zip(entries, (late, soon, T0), strict=True):
        await ledger.mark_failed(entry, "down", retry_at)

    due = await ledger.due("sink", T0, 10, horizon=soon)
    assert [entry.record.key for entry in due] == ["c", "a"]
    assert [it.id for it in await ledger.due("sink", T0, 1, horizon=soon)] == [due[0].id]


async def test_what_is_in_hand_is_not_listed_again(ledger: Ledger) -> None:
    """It takes no place among those that are."""
    for key in "abcd":
        await decide(ledger, key, "sink")
    first = await ledger.due("sink", T0, 2)
    then = await ledger.due("sink", T0, 2, skip=[entry.id for entry in first])

    assert ["a", "b", "c", "d"] == [entry.record.key for entry in (*first, *then)]
    assert [*first, *then] == await ledger.due("sink", T0, 10)


async def test_sent_entries_are_forgotten(ledger: Ledger) -> None:
    """What was sent is not due again; marking it twice does no harm."""
    for key in "abc":
        await decide(ledger, key, "sink")
    entries = await ledger.due("sink", T0, 10)
    await ledger.mark_sent(entries[:2])
    await ledger.mark_sent(entries[:2])

    assert await ledger.due("sink", T0, 10) == entries[2:]


async def test_failed_entry_waits_for_its_time(ledger: Ledger) -> None:
    """Before the retry it is not due; then it is, with one more attempt and the error."""
    await decide(ledger, "key-1", "sink")
    (entry,) = await ledger.due("sink", T0, 10)
    retry_at = T0 + timedelta(seconds=30)
    await ledger.mark_failed(entry, "connection refused", retry_at)

    assert await ledger.due("sink", retry_at - timedelta(microseconds=1), 10) == []
    (again,) = await ledger.due("sink", retry_at, 10)
    assert (again.id, again.attempts, again.last_error) == (entry.id, 1, "connection refused")


async def test_one_fingerprint_is_due_one_at_a_time(ledger: Ledger) -> None:
    """A newer update of an incident waits until the older one was sent, even over its retries."""
    for key in "abc":
        await decide(ledger, key, "sink", fingerprint="incident")
    later = T0 + timedelta(minutes=1)
    (first,) = await ledger.due("sink", T0, 10)
    await ledger.mark_failed(first, "down", later)
    meanwhile = await ledger.due("sink", T0, 10)
    (again,) = await ledger.due("sink", later, 10)
    await ledger.mark_sent([again])
    (second,) = await ledger.due("sink", later, 10)

    assert [first.record.key, again.record.key, second.record.key] == ["a", "a", "b"]
    assert meanwhile == []


async def test_verdicts_without_a_fingerprint_do_not_wait_for_each_other(ledger: Ledger) -> None:
    """Only a shared fingerprint makes a line."""
    for key in "ab":
        await decide(ledger, key, "sink", fingerprint="")

    assert len(await ledger.due("sink", T0, 10)) == 2


async def test_given_up_entry_is_a_dead_letter(ledger: Ledger) -> None:
    """It is never due again, is listed with its error, and lets the next of its line go."""
    await decide(ledger, "a", "sink", fingerprint="incident")
    await decide(ledger, "b", "sink", fingerprint="incident")
    (entry,) = await ledger.due("sink", T0, 10)
    await ledger.mark_failed(entry, "410 Gone", None)

    (dead,) = await ledger.dead_letters(limit=10)
    assert (dead.id, dead.attempts, dead.last_error) == (entry.id, 1, "410 Gone")
    assert [due.record.key for due in await ledger.due("sink", T0, 10)] == ["b"]


async def test_dead_letters_are_listed_oldest_first(ledger: Ledger) -> None:
    """The limit keeps the oldest."""
    for key in "abc":
        await decide(ledger, key, "sink")
    for entry in reversed(await ledger.due("sink", T0, 10)):
        await ledger.mark_failed(entry, "gone", None)

    dead = await ledger.dead_letters(limit=2)
    assert [entry.record.key for entry in dead] == ["a", "b"]


async def test_replay_schedules_chosen_dead_letters(ledger: Ledger, clock: FrozenClock) -> None:
    """Only the named ones become due, with all their attempts; the others stay dead."""
    for key in "abc":
        await decide(ledger, key, "sink")
    entries = await ledger.due("sink", T0, 10)
    for entry in entries:
        await ledger.mark_failed(entry, "gone", None)
    clock.advance(60)
    count = await ledger.replay([entries[1].id, 999])

    (due,) = await ledger.due("sink", clock.now(), 10)
    assert (count, due.id, due.attempts) == (1, entries[1].id, 0)
    assert len(await ledger.dead_letters(limit=10)) == 2


async def test_replay_of_all_leaves_no_dead_letter(ledger: Ledger) -> None:
    """Without ids every dead letter is scheduled; of one fingerprint the oldest goes first."""
    for key in "ab":
        await decide(ledger, key, "sink", fingerprint="incident")
        (entry,) = await ledger.due("sink", T0, 10)
        await ledger.mark_failed(entry, "gone", None)

    assert await ledger.replay(None) == 2
    assert await ledger.replay(None) == 0
    assert await ledger.dead_letters(limit=10) == []
    assert [entry.record.key for entry in await ledger.due("sink", T0, 10)] == ["a"]


async def test_ledger_that_can_be_written_pings_well(ledger: Ledger) -> None:
    """A healthy ledger has nothing to report."""
    assert await ledger.ping() == ""


async def test_an_event_can_be_taken_up_as_it_is_accepted(ledger: Ledger) -> None:
    """Nobody else claims it then, and the attempt is counted as claiming does."""
    await ledger.accept(an_event("key-1"), claim=True)
    await ledger.accept(an_event("key-1"), claim=True)

    assert not await take(ledger, 10)
    await ledger.release("key-1")
    assert [1] == [stored.attempt for stored in await take(ledger, 10)]


async def test_accepting_a_waiting_event_again_does_not_take_it_up(ledger: Ledger) -> None:
    """Only a new event is claimed in the same breath; a known one keeps its place."""
    await ledger.accept(an_event("key-1"))
    accepted = await ledger.accept(an_event("key-1"), claim=True)

    assert not accepted.is_new
    assert ["key-1"] == [stored.key for stored in await take(ledger, 10)]


async def test_the_journey_of_a_verdict_is_told(ledger: Ledger, clock: FrozenClock) -> None:
    """When its event was accepted, and which deliveries are still to be made or were given up."""
    await ledger.accept(an_event())
    record = await decide(ledger, "key-1", "a", "b", "c")
    for sink in ("a", "b"):
        [entry] = await ledger.due(sink, clock.now(), 10)
        if sink == "a":
            await ledger.mark_sent([entry])
        else:
            await ledger.mark_failed(entry, "no room", None)
    found = await ledger.journey(record.seq)

    assert found.accepted_at is not None
    assert (
        Delivery("b", DeliveryState.DEAD, 1, "no room"),
        Delivery("c", DeliveryState.WAITING),
    ) == found.deliveries
    assert Journey() == await ledger.journey(record.seq + 1)


async def test_dead_letters_come_in_pages(ledger: Ledger, clock: FrozenClock) -> None:
    """The oldest first, none twice, whatever becomes of others meanwhile."""
    for number in range(5):
        await ledger.accept(an_event(f"key-{number}"))
        await decide(ledger, f"key-{number}", "sink")
    for entry in await ledger.due("sink", clock.now(), 10):
        await ledger.mark_failed(entry, "no", None)
    first = await ledger.dead_letters(limit=2)
    await ledger.replay([first[0].id])
    second = await ledger.dead_letters(limit=2, after=first[-1].id)
    rest = await ledger.dead_letters(limit=2, after=second[-1].id)

    assert [f"key-{number}" for number in range(5)] == [
        entry.record.key for entry in (*first, *second, *rest)
    ]
    assert 4 == len(await ledger.dead_letters(limit=9))


async def test_levels_of_the_outbox_are_told(ledger: Ledger, clock: FrozenClock) -> None:
    """What is due or being delivered, by sink, without what waits for its predecessor."""
    assert (0, 0) == (sum((await ledger.outbox_levels()).waiting.values()), 0)
    for number in range(3):
        await ledger.accept(an_event(f"key-{number}"))
        await decide(ledger, f"key-{number}", "a", "b")
    await ledger.accept(an_event("again", fingerprint="fingerprint of key-0"))
    await decide(ledger, "again", "a", fingerprint="fingerprint of key-0")
    first, *_ = await ledger.due("a", clock.now(), 10)
    await ledger.mark_failed(first, "no", None)
    levels = await ledger.outbox_levels()

    assert ({"a": 3, "b": 3}, 1) == (dict(levels.waiting), levels.dead)
