"""Versions of prompts in every prompt book, whatever it is made of."""

import asyncio
from dataclasses import replace

import pytest

from sidecar.errors import VersionConflict
from sidecar.model import AlertConfig, Anchor, AnswerRules
from sidecar.outside.prompts import SqlitePromptBook
from sidecar.outside.prompts_redis import RedisPromptBook
from sidecar.outside.redis_store import RedisStore
from sidecar.outside.sqlite import Database
from sidecar.ports import PromptBook
from sidecar.testing.fakes import FrozenClock

FIRE = AlertConfig("Fire", "Is it fire?", "Be brief.", vlm_params={"seed": 1})


@pytest.fixture
def sqlite_book(db: Database, clock: FrozenClock) -> PromptBook:
    return SqlitePromptBook(db, clock)


@pytest.fixture
def redis_book(store: RedisStore, clock: FrozenClock) -> PromptBook:
    return RedisPromptBook(store, clock)


@pytest.fixture(params=["sqlite", "redis"])
def book(request: pytest.FixtureRequest) -> PromptBook:
    """Every kind of prompt book in turn."""
    book: PromptBook = request.getfixturevalue(f"{request.param}_book")
    return book


async def test_every_version_is_told_the_newest_first(book: PromptBook) -> None:
    """With all that it said; also of an alert type that was deleted."""
    second = replace(FIRE, prompt="Flames?", rules=AnswerRules(), segment_anchor=Anchor.START)
    stored = [await book.create(FIRE), await book.replace(second)]
    told = await book.versions(" fire ")
    await book.delete("fire")
    after = await book.versions("FIRE")

    assert stored[::-1] == list(told)
    assert [2, 1] == [it.version for it in after]
    assert [] == list(await book.versions("smoke"))


async def test_an_edit_of_an_old_version_is_refused(book: PromptBook) -> None:
    """Nothing changes, and the error tells which version is in force."""
    await book.create(FIRE)
    await book.replace(replace(FIRE, prompt="Second"), expected=1)
    with pytest.raises(VersionConflict, match="Version 2 is in force, not 1"):
        await book.replace(replace(FIRE, prompt="Third"), expected=1)

    assert ["Second", "Is it fire?"] == [it.prompt for it in await book.versions("fire")]


async def test_of_two_edits_of_one_version_one_wins(book: PromptBook) -> None:
    """The other one is told, however close they come."""
    await book.create(FIRE)
    edits = [book.replace(replace(FIRE, prompt=f"{n}"), expected=1) for n in range(5)]
    answers = await asyncio.gather(*edits, return_exceptions=True)

    assert 4 == sum(isinstance(it, VersionConflict) for it in answers)
    assert [2, 1] == [it.version for it in await book.versions("fire")]
