"""What every book of realtime rules does, whatever it is made of."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sidecar.model import RealtimeRule, RuleStatus
from sidecar.outside.redis_store import RedisStore
from sidecar.outside.rules import SqliteRuleBook
from sidecar.outside.rules_redis import RedisRuleBook
from sidecar.outside.sqlite import Database
from sidecar.ports import RuleBook

T0 = datetime(2026, 1, 31, 8, tzinfo=UTC)
RULE = RealtimeRule(
    id="one",
    fields={"prompt": "Fire? はい", "password": "secret", "media_info": {"type": "offset"}},
    created_at=T0,
    updated_at=T0,
)


@pytest.fixture
def sqlite_book(db: Database) -> RuleBook:
    return SqliteRuleBook(db)


@pytest.fixture
def redis_book(store: RedisStore) -> RuleBook:
    return RedisRuleBook(store)


@pytest.fixture(params=["sqlite", "redis"])
def book(request: pytest.FixtureRequest) -> RuleBook:
    book: RuleBook = request.getfixturevalue(f"{request.param}_book")
    return book


async def test_a_stored_rule_comes_back_as_it_was(book: RuleBook) -> None:
    """All fields survive, those in which JSON differs from Python too."""
    rule = replace(RULE, stream_id="s", request_id="r", camera_id="c", label="l")

    assert await book.put(rule)
    assert rule == await book.find("one")
    assert await book.find("two") is None
    assert "" == await book.ping()


async def test_rules_are_listed_oldest_first(book: RuleBook) -> None:
    """The order is that of their creation."""
    for seconds, name in [(2, "b"), (1, "c"), (1, "a")]:
        await book.put(replace(RULE, id=name, created_at=T0 + timedelta(seconds=seconds)))

    assert ["a", "c", "b"] == [rule.id for rule in await book.list()]


async def test_the_next_revision_replaces_a_rule(book: RuleBook) -> None:
    """A change is what is found from then on."""
    await book.put(RULE)
    changed = replace(RULE, status=RuleStatus.ACTIVE, revision=2)

    assert await book.put(changed)
    assert [changed] == list(await book.list())


@pytest.mark.parametrize("revision", [1, 3])
async def test_any_other_revision_is_refused(book: RuleBook, revision: int) -> None:
    """Whoever read an older state changes nothing."""
    await book.put(RULE)

    assert not await book.put(replace(RULE, status=RuleStatus.FAILED, revision=revision))
    assert [RULE] == list(await book.list())


async def test_of_concurrent_changes_one_wins(book: RuleBook) -> None:
    """Replicas that restore the same rule do it once."""
    await book.put(RULE)
    taken = [replace(RULE, request_id=str(number), revision=2) for number in range(10)]
    answers = await asyncio.gather(*(book.put(rule) for rule in taken))

    assert 1 == answers.count(True)


async def test_a_deleted_rule_cannot_be_changed(book: RuleBook) -> None:
    """It does not come back when somebody was about to change it."""
    await book.put(RULE)

    assert await book.delete("one")
    assert not await book.delete("one")
    assert not await book.put(replace(RULE, revision=2))
    assert [] == list(await book.list())


async def test_rules_survive_a_restart(tmp_path: Path) -> None:
    """What was stored is there when the file is opened again."""
    database = Database(tmp_path / "rules.db")
    await SqliteRuleBook(database).put(RULE)
    await database.close()
    again = Database(tmp_path / "rules.db")

    assert [RULE] == list(await SqliteRuleBook(again).list())
    await again.close()
