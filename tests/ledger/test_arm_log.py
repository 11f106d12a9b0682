"""What every log of arm choices does, whatever it is made of."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_samples import T0

from sidecar.audit import Attribution
from sidecar.outside.arm_log import SqliteArmLog
from sidecar.outside.arm_log_redis import RedisArmLog
from sidecar.outside.audit import SqliteAuditTrail
from sidecar.outside.audit_redis import RedisAuditTrail
from sidecar.outside.redis_store import RedisStore
from sidecar.outside.sqlite import Database
from sidecar.policy import ArmChoice, Policy
from sidecar.ports import ArmLog, AuditTrail

POLICY = Policy.model_validate(
    {
        "rules": [
            {"when": {"sensors": "x"}, "use": {"kind": "vote", "arms": ["a", "b"]}},
            {"use": {"kind": "weighted", "weights": {"a": 99, "b": 1}}},
        ],
        "shadow": {"arm": "c", "share": 0.5},
        "fallback": ["c"],
        "salt": "塩",
    }
)
FIRST = ArmChoice(1, POLICY, "ann", "理由", T0, '{"rules": []}')


@pytest.fixture
def sqlite_logs(db: Database) -> tuple[ArmLog, AuditTrail]:
    return SqliteArmLog(db), SqliteAuditTrail(db)


@pytest.fixture
def redis_logs(store: RedisStore) -> tuple[ArmLog, AuditTrail]:
    return RedisArmLog(store), RedisAuditTrail(store)


@pytest.fixture(params=["sqlite", "redis"])
def logs(request: pytest.FixtureRequest) -> tuple[ArmLog, AuditTrail]:
    logs: tuple[ArmLog, AuditTrail] = request.getfixturevalue(f"{request.param}_logs")
    return logs


async def test_the_newest_choice_is_the_latest(logs: tuple[ArmLog, AuditTrail]) -> None:
    """A choice comes back as it was made."""
    log, _ = logs
    before = await log.latest()
    stored = await log.append(FIRST), await log.append(replace(FIRST, version=2, actor="bob"))

    assert (None, (True, True)) == (before, stored)
    assert replace(FIRST, version=2, actor="bob") == await log.latest()
    assert FIRST == await log.find(1)
    assert (None, None) == (await log.find(0), await log.find(3))
    assert "" == await log.ping()


async def test_choices_are_listed_newest_first(logs: tuple[ArmLog, AuditTrail]) -> None:
    """In pages."""
    log, _ = logs
    for version in range(1, 6):
        await log.append(replace(FIRST, version=version))

    assert [5, 4] == [it.version for it in await log.list(limit=2)]
    assert [3, 2, 1] == [it.version for it in await log.list(limit=9, before=4)]
    assert [] == list(await log.list(limit=9, before=1))


@pytest.mark.parametrize("version", [0, 1, 3])
async def test_a_choice_that_does_not_follow_is_refused(
    logs: tuple[ArmLog, AuditTrail], version: int
) -> None:
    """Whoever read an older state changes nothing, in the log and in the audit trail."""
    log, audit = logs
    await log.append(FIRST)
    entry = Attribution("me").entry(T0, "arms.choose", "arms")

    assert not await log.append(replace(FIRST, version=version), entry)
    assert FIRST == await log.latest()
    assert [] == list(await audit.list(limit=9))


async def test_of_concurrent_choices_one_wins_and_is_audited(
    logs: tuple[ArmLog, AuditTrail],
) -> None:
    """Ten replicas, one next version."""
    log, audit = logs
    entries = [Attribution(f"actor-{n}").entry(T0, "arms.choose", "arms") for n in range(10)]
    answers = await asyncio.gather(
        *(log.append(replace(FIRST, actor=entry.actor), entry) for entry in entries)
    )
    latest = await log.latest()

    assert 1 == answers.count(True)
    assert latest is not None
    assert [latest.actor] == [entry.actor for entry in await audit.list(limit=99)]


async def test_choices_survive_a_restart(tmp_path: Path) -> None:
    """What was chosen is there when the file is opened again."""
    database = Database(tmp_path / "ledger.db")
    await SqliteArmLog(database).append(FIRST)
    await database.close()
    again = Database(tmp_path / "ledger.db")
    found = await SqliteArmLog(again).latest()
    await again.close()

    assert FIRST == found
