"""What every audit trail does, whatever it is made of, and what is recorded together with what."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from ledger_samples import a_record, an_event

from sidecar.audit import Attribution, AuditEntry
from sidecar.errors import AlreadyExists, NotFound
from sidecar.model import AlertConfig, RealtimeRule
from sidecar.outside.audit import SqliteAuditTrail
from sidecar.outside.audit_redis import RedisAuditTrail
from sidecar.outside.ledger_redis import RedisLedger
from sidecar.outside.ledger_sqlite import SqliteLedger
from sidecar.outside.prompts import SqlitePromptBook
from sidecar.outside.prompts_redis import RedisPromptBook
from sidecar.outside.redis_store import RedisStore
from sidecar.outside.rules import SqliteRuleBook
from sidecar.outside.rules_redis import RedisRuleBook
from sidecar.outside.sqlite import Database
from sidecar.ports import AuditTrail, Ledger, PromptBook, RuleBook
from sidecar.settings import LedgerSettings
from sidecar.testing.fakes import FrozenClock

BY = Attribution("operator", "too many false alarms")
COLLISION = AlertConfig("Collision", "Is there a collision?")


@dataclass(frozen=True)
class Audited:
    """A trail, and everything that writes to it."""

    trail: AuditTrail
    prompts: PromptBook
    rules: RuleBook
    ledger: Ledger

    async def actions(self) -> list[tuple[str, str]]:
        """List what was done to what, oldest first."""
        return [(it.action, it.target) for it in (await self.newest_first())[::-1]]

    async def newest_first(self) -> Sequence[AuditEntry]:
        return await self.trail.list(limit=100)


@pytest.fixture
def sqlite_audited(db: Database, clock: FrozenClock) -> Audited:
    ledger = SqliteLedger(db, LedgerSettings(), clock)
    return Audited(SqliteAuditTrail(db), SqlitePromptBook(db, clock), SqliteRuleBook(db), ledger)


@pytest.fixture
def redis_audited(store: RedisStore, clock: FrozenClock) -> Audited:
    ledger = RedisLedger(store, LedgerSettings(), clock)
    books = RedisPromptBook(store, clock), RedisRuleBook(store)
    return Audited(RedisAuditTrail(store), *books, ledger)


@pytest.fixture(params=["sqlite", "redis"])
def audited(request: pytest.FixtureRequest) -> Audited:
    audited: Audited = request.getfixturevalue(f"{request.param}_audited")
    return audited


async def test_an_entry_comes_back_as_it_was(audited: Audited, clock: FrozenClock) -> None:
    """All fields survive, whatever JSON stands before and after."""
    given = [
        AuditEntry(clock.now(), "a", "arm.set", "primary", {"ü": [1, None]}, "cosmos", "Grund ✓"),
        AuditEntry(clock.now() + timedelta(microseconds=1), "b", "x.y", "", None, [{"k": 0.5}]),
    ]
    stored = [await audited.trail.append(entry) for entry in given]

    assert [replace(entry, seq=place) for place, entry in enumerate(given, 1)] == stored
    assert stored[::-1] == list(await audited.newest_first())


async def test_pages_join_without_gap_or_overlap(audited: Audited, clock: FrozenClock) -> None:
    """`seq` of the last entry leads to the next page; what is added meanwhile changes nothing."""
    for number in range(7):
        await audited.trail.append(AuditEntry(clock.now(), "a", "n", str(number)))
    pages = [await audited.trail.list(limit=3)]
    await audited.trail.append(AuditEntry(clock.now(), "a", "n", "late"))
    while pages[-1]:
        pages.append(await audited.trail.list(limit=3, before=pages[-1][-1].seq))

    assert [["6", "5", "4"], ["3", "2", "1"], ["0"], []] == [
        [entry.target for entry in page] for page in pages
    ]


async def test_an_empty_trail_is_an_empty_list(audited: Audited) -> None:
    """Nothing was changed yet."""
    assert [] == list(await audited.newest_first())
    assert [] == list(await audited.trail.list(limit=5, before=1))


async def test_concurrent_entries_get_places_of_their_own(
    audited: Audited, clock: FrozenClock
) -> None:
    """No entry takes another's place."""
    entries = [AuditEntry(clock.now(), "a", "n", str(number)) for number in range(20)]
    stored = await asyncio.gather(*map(audited.trail.append, entries))

    assert list(range(1, 21)) == sorted(entry.seq for entry in stored)


async def test_edits_of_alert_types_are_recorded_with_both_versions(
    audited: Audited, clock: FrozenClock
) -> None:
    """Who, when, why, and the alert type before and after as the API shows it."""
    await audited.prompts.create(COLLISION, BY)
    clock.advance(60)
    await audited.prompts.replace(replace(COLLISION, prompt="Crash?"), BY)
    await audited.prompts.delete("collision", Attribution("other"))
    deleted, replaced, created = await audited.newest_first()

    assert [("alert_config.create", None), ("alert_config.delete", None)] == [
        (created.action, created.before),
        (deleted.action, deleted.after),
    ]
    assert (created.after, replaced.after) == (replaced.before, deleted.before)
    assert ("Is there a collision?", 1) == (created.after["prompt"], created.after["version"])
    assert ("Crash?", 2) == (replaced.after["prompt"], replaced.after["version"])
    assert ("operator", BY.reason, clock.now()) == (replaced.actor, replaced.reason, replaced.at)
    assert ("other", "", "Collision") == (deleted.actor, deleted.reason, deleted.target)


async def test_refused_edits_leave_no_trace(audited: Audited) -> None:
    """What did not happen is not told."""
    with pytest.raises(NotFound):
        await audited.prompts.replace(COLLISION, BY)
    with pytest.raises(NotFound):
        await audited.prompts.delete("collision", BY)
    await audited.prompts.create(COLLISION)
    with pytest.raises(AlreadyExists):
        await audited.prompts.create(COLLISION, BY)

    assert [] == await audited.actions()


async def test_edits_without_a_name_are_not_recorded(audited: Audited) -> None:
    """The start lays the file's alert types under what is stored; that is nobody's change."""
    await audited.prompts.seed([COLLISION], override=True)
    await audited.prompts.replace(replace(COLLISION, prompt="Crash?"))

    assert [] == await audited.actions()


async def test_a_rule_and_its_entry_are_stored_together(
    audited: Audited, clock: FrozenClock
) -> None:
    """The entry is there exactly when the change was made."""
    rule = RealtimeRule("one", {"prompt": "Fire?"}, clock.now(), clock.now())
    made, gone = (BY.entry(clock.now(), f"rule.{what}", "one") for what in ("create", "delete"))
    done = [
        await audited.rules.put(rule, made),
        await audited.rules.put(rule, made),
        await audited.rules.put(replace(rule, revision=2), made),
        await audited.rules.delete("one", gone),
        await audited.rules.delete("one", gone),
    ]

    assert [True, False, True, True, False] == done
    assert ["rule.create", "rule.create", "rule.delete"] == [
        action for action, _ in await audited.actions()
    ]


@pytest.mark.parametrize("everything", [True, False], ids=["all", "by id"])
async def test_replayed_dead_letters_are_recorded(
    audited: Audited, clock: FrozenClock, everything: bool
) -> None:
    """Who scheduled which deliveries again."""
    ledger = audited.ledger
    await ledger.accept(an_event("one"), claim=True)
    await ledger.commit(a_record("one"), ["webhook"])
    (entry,) = await ledger.due("webhook", clock.now(), 10)
    await ledger.mark_failed(entry, "gone", None)
    count = await ledger.replay(None if everything else [entry.id], BY)
    (recorded,) = await audited.newest_first()
    await ledger.close()

    assert 1 == count
    assert ("operator", "dead_letters.replay") == (recorded.actor, recorded.action)
    assert {"count": 1, "ids": [entry.id]} == recorded.after


async def test_replaying_nothing_is_no_change(audited: Audited) -> None:
    """No dead letters, no entry."""
    assert 0 == await audited.ledger.replay(None, BY)
    assert [] == await audited.actions()


async def test_the_trail_survives_a_restart(tmp_path: Path, clock: FrozenClock) -> None:
    """What was recorded is there when the file is opened again."""
    database = Database(tmp_path / "audit.db")
    await SqliteAuditTrail(database).append(AuditEntry(clock.now(), "a", "n", "t"))
    await database.close()
    again = Database(tmp_path / "audit.db")
    (entry,) = await SqliteAuditTrail(again).list(limit=10)
    await again.close()

    assert ("a", 1) == (entry.actor, entry.seq)
