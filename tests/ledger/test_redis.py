"""What is special about the ledger in Redis: replicas, leases, lost answers, restarts."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from ledger_samples import T0, a_record, an_event, take, until
from redis.asyncio import Redis
from redis_process import RedisProcess

from sidecar.check import find_problems
from sidecar.errors import AlreadyExists, SettingsError, StoreUnavailable
from sidecar.model import AlertConfig, AnswerRules, AnswerShape, Outcome, VerdictFilter
from sidecar.outside.clock import SystemClock
from sidecar.outside.ledger_redis import RedisLedger
from sidecar.outside.prompts_redis import FRESH_S, RedisPromptBook
from sidecar.outside.redis_store import RedisStore
from sidecar.settings import LedgerSettings, Settings
from sidecar.testing.fakes import FrozenClock

PROGRAM = Path(__file__).with_name("hold_events.py")
LEASE_S = 0.8
TAKEOVER_S = LEASE_S + 2.0


@pytest.fixture
def own_server(redis_server: RedisProcess, tmp_path: Path) -> Generator[RedisProcess]:
    """A server that the test may stop, kill and freeze."""
    del redis_server  # whose absence skips the test
    server = RedisProcess(tmp_path).start()
    yield server
    server.kill()


@asynccontextmanager
async def open_ledger(
    server: RedisProcess,
    *,
    on_news: Callable[[], None] | None = None,
    lease_s: float = LEASE_S,
    timeout_s: float = 5.0,
    is_cluster: bool = False,
) -> AsyncGenerator[RedisLedger]:
    """A replica of its own."""
    store = RedisStore(server.url, timeout_s=timeout_s, is_cluster=is_cluster)
    ledger = RedisLedger(store, LedgerSettings(), SystemClock(), lease_s=lease_s, on_news=on_news)
    try:
        yield ledger
    finally:
        await ledger.close()
        await store.close()


@contextmanager
def other_replica(server: RedisProcess, *keys: str) -> Generator[subprocess.Popen[str]]:
    """A process that holds these events."""
    process = subprocess.Popen(
        [sys.executable, PROGRAM, server.url, f"{LEASE_S}", *keys],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process
    finally:
        process.kill()
        process.communicate()


async def claimed_within(ledger: RedisLedger, seconds: float) -> list[tuple[str, int]]:
    """Claim until there is something; return keys and attempts."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        claimed = await take(ledger, 100)
        if claimed:
            return [(event.key, event.attempt) for event in claimed]
        await asyncio.sleep(0.05)
    return []


async def succeeds(call: Callable[[], Awaitable[object]], timeout_s: float = 10.0) -> None:
    """Repeat a call until Redis answers it."""
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        try:
            await call()
        except StoreUnavailable:
            await asyncio.sleep(0.05)
        else:
            return
    pytest.fail("Redis did not answer again in time")


@pytest.mark.usefixtures("store")
async def test_events_of_a_killed_replica_go_to_another(redis_server: RedisProcess) -> None:
    """At most its lease and two seconds after a SIGKILL, with the attempt counted."""
    keys = [f"key-{number}" for number in range(50)]
    with other_replica(redis_server, *keys) as process:
        async with open_ledger(redis_server) as ledger:
            await ledger.recover()
            process.kill()
            claimed = await claimed_within(ledger, TAKEOVER_S)

    assert claimed == [(key, 2) for key in keys]


@pytest.mark.usefixtures("store")
async def test_a_server_whose_clock_is_set_back_keeps_no_dead_replica(
    redis_server: RedisProcess,
) -> None:
    """Its lease, which then seems to last for an hour, ends as any other."""
    with other_replica(redis_server, "key-1") as process:
        async with (
            open_ledger(redis_server) as ledger,
            Redis.from_url(redis_server.url) as redis,
        ):
            await ledger.recover()
            process.kill()
            process.wait()
            leases = await redis.zrange("{sidecar}:replicas", 0, -1, withscores=True)
            hour_later = {name: end + 3_600_000 for name, end in leases}
            await redis.zadd("{sidecar}:replicas", hour_later)
            suspects = dict.fromkeys(hour_later, max(hour_later.values()))
            await redis.hset("{sidecar}:suspects", mapping=suspects)
            claimed = await claimed_within(ledger, TAKEOVER_S)

    assert claimed == [("key-1", 2)]


@pytest.mark.usefixtures("store")
async def test_living_replica_keeps_its_events(redis_server: RedisProcess) -> None:
    """Neither a start of another replica nor the time of many leases takes them away."""
    with other_replica(redis_server, "key-1"):
        async with open_ledger(redis_server) as ledger:
            recovered = await ledger.recover()
            claimed = await claimed_within(ledger, 2 * LEASE_S)

    assert recovered == 0
    assert claimed == []


@pytest.mark.usefixtures("store")
async def test_frozen_replica_decides_nothing_twice(redis_server: RedisProcess) -> None:
    """Stopped for longer than its lease, it finds its event decided; its commit has no effect."""
    with other_replica(redis_server, "key-1") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        async with open_ledger(redis_server) as ledger:
            await ledger.recover()
            process.send_signal(signal.SIGSTOP)
            claimed = await claimed_within(ledger, TAKEOVER_S)
            record = await ledger.commit(a_record(arm="taker"), ["sink"])
            process.send_signal(signal.SIGCONT)
            process.stdin.write("key-1\n")
            process.stdin.flush()
            said = await asyncio.to_thread(process.stdout.readline)

            assert claimed == [("key-1", 2)]
            assert said == "decided before\n"
            assert await ledger.lookup("key-1") == record
            assert len(await ledger.due("sink", T0 + timedelta(days=9999), 10)) == 1


@pytest.mark.usefixtures("store")
async def test_frozen_replica_that_commits_first_decides(redis_server: RedisProcess) -> None:
    """Its work counts when the replica that took over is not done yet; that one is told so."""
    with other_replica(redis_server, "key-1") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        async with open_ledger(redis_server) as ledger:
            await ledger.recover()
            process.send_signal(signal.SIGSTOP)
            await claimed_within(ledger, TAKEOVER_S)
            process.send_signal(signal.SIGCONT)
            process.stdin.write("key-1\n")
            process.stdin.flush()
            said = await asyncio.to_thread(process.stdout.readline)

            assert said == "decided\n"
            assert await ledger.commit(a_record(arm="taker"), ["sink"]) is None
            assert await ledger.backlog() == 0
            assert await claimed_within(ledger, 0.1) == []


@pytest.mark.usefixtures("store")
async def test_one_of_many_commits_of_an_event_counts(redis_server: RedisProcess) -> None:
    """Two replicas that commit the same events at the same time make one verdict of each."""
    async with open_ledger(redis_server) as one, open_ledger(redis_server) as two:
        records = [a_record(f"key-{number}") for number in range(50)]
        committed = await asyncio.gather(
            *(ledger.commit(record, ["sink"]) for record in records for ledger in (one, two))
        )

        seqs = [record.seq for record in committed if record is not None]
        assert sorted(seqs) == list(range(1, 51))
        assert await one.last_seq() == 50


@pytest.mark.usefixtures("store")
async def test_replicas_share_no_event(redis_server: RedisProcess) -> None:
    """Claims of two replicas divide what waits, and neither can release what the other holds."""
    async with open_ledger(redis_server) as one, open_ledger(redis_server) as two:
        for number in range(6):
            await one.accept(an_event(f"key-{number}"))
        first, second = await asyncio.gather(take(one, 3), take(two, 10))
        for event in first:
            await two.release(event.key)

        keys = [event.key for event in (*first, *second)]
        assert sorted(keys) == [f"key-{number}" for number in range(6)]
        assert await take(two, 10) == []


@pytest.mark.usefixtures("store")
async def test_closed_replica_hands_back_at_once(redis_server: RedisProcess) -> None:
    """Others need not wait for the end of its lease, neither for events nor for deliveries."""
    async with open_ledger(redis_server, lease_s=60) as other:
        async with open_ledger(redis_server, lease_s=60) as leaving:
            await leaving.accept(an_event("a"), claim=True)
            await leaving.commit(a_record("b"), ["sink"])
            await leaving.due("sink", SystemClock().now(), 10)

        assert [event.key for event in await take(other, 10)] == ["a"]
        assert len(await other.due("sink", SystemClock().now(), 10)) == 1


@pytest.mark.usefixtures("store")
async def test_waiting_events_are_news_to_every_replica(redis_server: RedisProcess) -> None:
    """A replica with free places hears of events that another one accepted and left to wait."""
    news: list[None] = []
    async with (
        open_ledger(redis_server, on_news=lambda: news.append(None)) as idle,
        open_ledger(redis_server) as busy,
    ):
        await idle.recover()
        await busy.accept(an_event())

        await until(lambda: bool(news), timeout_s=2.0)


@pytest.mark.usefixtures("store")
async def test_delivery_belongs_to_one_replica(redis_server: RedisProcess) -> None:
    """An entry is due for the replica that asked first, again and again, and for no other."""
    async with open_ledger(redis_server) as one, open_ledger(redis_server) as two:
        for key in "ab":
            await one.commit(a_record(key, fingerprint="incident"), ["sink"])
        now = SystemClock().now()
        first = await one.due("sink", now, 10)
        again = await one.due("sink", now, 10)
        others = await two.due("sink", now, 10)
        await two.mark_failed(first[0], "not mine", now)
        still = await one.due("sink", now, 10)
        await one.mark_sent(first)
        second = await two.due("sink", now, 10)

        assert [entry.record.key for entry in first] == ["a"]
        assert first == again == still
        assert others == []
        assert [entry.record.key for entry in second] == ["b"]


@pytest.mark.usefixtures("store")
async def test_deliveries_of_a_dead_replica_go_to_another(redis_server: RedisProcess) -> None:
    """They are due again, unchanged, when the lease of the one that began them is over."""
    async with open_ledger(redis_server) as dead, open_ledger(redis_server) as living:
        await dead.commit(a_record(), ["sink"])
        now = SystemClock().now()
        begun = await dead.due("sink", now, 10)
        await living.recover()
        assert dead._heart is not None
        dead._heart.cancel()
        give_up = time.monotonic() + TAKEOVER_S
        taken = await living.due("sink", now, 10)
        while not taken and time.monotonic() < give_up:
            await asyncio.sleep(0.05)
            taken = await living.due("sink", now, 10)

        assert taken == begun
        assert await dead.due("sink", now, 10) == []
        dead._heart = None


async def test_away_redis_takes_nothing_from_the_living(own_server: RedisProcess) -> None:
    """When it comes back after all leases are over, both replicas still hold what they held."""
    async with open_ledger(own_server) as one, open_ledger(own_server) as two:
        await one.accept(an_event("a"), claim=True)
        await two.accept(an_event("b"), claim=True)
        own_server.freeze()
        await asyncio.sleep(1.5 * LEASE_S)
        own_server.thaw()
        stolen = await asyncio.gather(claimed_within(one, LEASE_S), claimed_within(two, LEASE_S))

    assert [*stolen] == [[], []]


async def test_killed_server_with_aof_loses_nothing(own_server: RedisProcess) -> None:
    """After SIGKILL and restart, all that was confirmed is there, and the ledger just goes on."""
    accepted: list[str] = []

    async def accept_for_ever(ledger: RedisLedger, prefix: str) -> None:
        for number in count():
            await ledger.accept(an_event(f"{prefix}-{number}"))
            accepted.append(f"{prefix}-{number}")

    async with open_ledger(own_server) as ledger:
        for cycle in range(3):
            callers = [
                asyncio.create_task(accept_for_ever(ledger, f"{cycle}-{caller}"))
                for caller in range(4)
            ]
            await asyncio.sleep(0.1)
            own_server.kill()
            results = await asyncio.gather(*callers, return_exceptions=True)
            own_server.start()
            assert {type(result) for result in results} == {StoreUnavailable}
        stored = {event.key for event in await take(ledger, 100_000)}

    assert len(accepted) > 100
    assert set(accepted) - stored == set()


async def test_away_redis_is_explained_and_comes_back(own_server: RedisProcess) -> None:
    """The error tells where Redis should be and that nothing has to be done about the sidecar."""
    async with open_ledger(own_server) as ledger:
        await ledger.accept(an_event())
        own_server.kill()
        with pytest.raises(
            StoreUnavailable,
            match=rf"127\.0\.0\.1:{own_server.port}.*Start it, or set SIDECAR_LEDGER__REDIS__URL",
        ):
            await ledger.accept(an_event("other"))
        problem = await ledger.ping()
        own_server.start()

        await succeeds(lambda: ledger.accept(an_event("other")))
        assert "Start it" in problem
        assert await ledger.ping() == ""


async def test_claims_without_an_answer_are_given_back(own_server: RedisProcess) -> None:
    """What was taken up by a call that timed out is free again soon; it counts no attempt."""
    async with open_ledger(own_server, lease_s=60, timeout_s=0.2) as ledger:
        await ledger.accept(an_event("old"))
        own_server.freeze()
        failed = await asyncio.gather(
            ledger.accept(an_event("new"), claim=True),
            take(ledger, 1),
            return_exceptions=True,
        )
        own_server.thaw()
        await succeeds(lambda: ledger.accept(an_event("new")))
        claimed: list[tuple[str, int]] = []
        async with asyncio.timeout(5):
            while len(claimed) < 2:
                claimed += await claimed_within(ledger, 1)

    assert [type(result) for result in failed] == [StoreUnavailable, StoreUnavailable]
    assert sorted(claimed) == [("new", 1), ("old", 1)]


async def test_cancelled_claim_is_given_back(own_server: RedisProcess) -> None:
    """A caller that does not wait for the events does not keep them from others."""
    async with open_ledger(own_server, lease_s=60) as ledger:
        await ledger.accept(an_event())
        claim = asyncio.create_task(take(ledger, 1))
        await asyncio.sleep(0)
        claim.cancel()

        assert await claimed_within(ledger, 3) == [("key-1", 1)]


async def test_commit_repeated_after_a_lost_answer_is_the_first(own_server: RedisProcess) -> None:
    """The caller gets its record as if nothing had happened; a further commit is the second."""
    async with open_ledger(own_server, timeout_s=0.2) as ledger:
        await ledger.accept(an_event(), claim=True)
        own_server.freeze()
        with pytest.raises(StoreUnavailable, match="Timeout"):
            await ledger.commit(a_record(), ["sink"])
        own_server.thaw()
        await until(lambda: own_server.ask("GET {sidecar}:seq") == b"$1\r\n1\r\n")
        again = await ledger.commit(a_record(), ["sink"])

        assert again == a_record(seq=1)
        assert await ledger.commit(a_record(), ["sink"]) is None


async def test_full_memory_is_explained_and_passes(own_server: RedisProcess) -> None:
    """A Redis without room refuses with advice, half of nothing is written, and it goes on."""
    async with open_ledger(own_server) as ledger:
        await ledger.accept(an_event("before"))
        own_server.ask("CONFIG SET maxmemory 1")
        with pytest.raises(StoreUnavailable, match=r"maxmemory.*Raise it, or make room"):
            await ledger.accept(an_event("refused"))
        problem = await ledger.ping()
        own_server.ask("CONFIG SET maxmemory 0")

        assert "Raise it" in problem
        assert await ledger.backlog() == 1
        assert (await ledger.accept(an_event("refused"))).is_new


async def test_forgetful_redis_is_not_ready(own_server: RedisProcess) -> None:
    """A server that evicts keys would lose events, so the ledger says what to set."""
    own_server.ask("CONFIG SET maxmemory 1gb")
    own_server.ask("CONFIG SET maxmemory-policy allkeys-lru")
    async with open_ledger(own_server) as ledger:
        assert "allkeys-lru. Set it to noeviction" in await ledger.ping()


async def test_server_without_append_only_file_is_a_risk(own_server: RedisProcess) -> None:
    """Nothing of it stops the service, but its log and `sidecar check` tell the operator."""
    async with open_ledger(own_server) as ledger:
        with_file = await ledger.risks()
        own_server.ask("CONFIG SET appendonly no")
        without = await ledger.risks()

    assert list(with_file) == []
    assert ["Set `appendonly yes`." in risk for risk in without] == [True]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("CONFIG SET appendonly no", "Set `appendonly yes`."),
        ("CONFIG SET maxmemory 1", "used memory > 'maxmemory'"),
        ("SHUTDOWN NOSAVE", "Start it, or set SIDECAR_LEDGER__REDIS__URL"),
    ],
)
async def test_check_names_what_redis_would_lose(
    own_server: RedisProcess, command: str, expected: str
) -> None:
    """`sidecar check` asks the server, and says when it does not answer."""
    settings = Settings.model_validate({"ledger": {"redis": {"url": own_server.url}}})
    before = await find_problems(settings)
    own_server.ask(command)
    after = await find_problems(settings)

    assert [] == [it for it in before if it.setting.startswith("ledger")]
    (problem,) = [it for it in after if it.setting.startswith("ledger")]
    assert (problem.severity, problem.setting) == ("warning", "ledger.redis.url")
    assert expected in problem.text


async def test_wait_aof_needs_a_server_that_has_it(own_server: RedisProcess) -> None:
    """The service does not start with a promise that the server cannot keep."""
    own_server.ask("CONFIG SET appendonly no")
    store = RedisStore(own_server.url, wait_aof=True)
    with pytest.raises(SettingsError, match=r"version 7\.2 or newer, with `appendonly yes`"):
        await RedisLedger(store, LedgerSettings(), SystemClock()).recover()
    await store.close()


def test_wait_aof_is_refused_on_a_cluster() -> None:
    """WAITAOF asks one node, and in a batch nobody can tell which; the advice is an equal."""
    with pytest.raises(SettingsError, match="Set `appendfsync always` there"):
        RedisStore("redis://somewhere", wait_aof=True, is_cluster=True)


async def test_missing_password_is_explained(own_server: RedisProcess) -> None:
    """The advice names the setting, and no password is shown."""
    own_server.ask("CONFIG SET requirepass right")
    for url, advice in (("", "Give the password"), (":wrong@", "Correct the password")):
        store = RedisStore(own_server.url.replace("//", f"//{url}"))
        with pytest.raises(StoreUnavailable, match=advice) as caught:
            await store.read("backlog")
        await store.close()

        assert "wrong@" not in caught.value.detail


def test_url_that_is_none_is_explained() -> None:
    """The error names the setting."""
    with pytest.raises(SettingsError, match=r"ledger\.redis\.url: .*schemes"):
        RedisStore("http://somewhere")


async def test_works_on_a_cluster(redis_server: RedisProcess, tmp_path: Path) -> None:
    """All keys lie in one slot, so that every operation stays atomic there."""
    del redis_server
    server = RedisProcess(tmp_path, options=("--cluster-enabled", "yes")).start()
    for first in range(0, 16384, 4096):
        server.ask("CLUSTER ADDSLOTS " + " ".join(map(str, range(first, first + 4096))))
    await until(lambda: b"cluster_state:ok" in server.ask("CLUSTER INFO"))
    async with open_ledger(server, is_cluster=True) as ledger:
        await ledger.recover()
        await ledger.accept(an_event(), claim=True)
        record = await ledger.commit(a_record(), ["sink"])
        entries = await ledger.due("sink", SystemClock().now(), 10)
        await ledger.mark_sent(entries)
        problem = await ledger.ping()

        assert [entry.record for entry in entries] == [record]
        assert await ledger.lookup("id of key-1") == record
        assert problem == ""
    server.kill()


@pytest.mark.usefixtures("store")
async def test_list_looks_at_many_verdicts_in_steps(redis_server: RedisProcess) -> None:
    """A rare verdict is found behind more others than one script looks at, in both directions."""
    async with open_ledger(redis_server) as ledger:
        rare = await ledger.commit(a_record("rare", timestamp=T0 + timedelta(days=1)), [])
        await asyncio.gather(*(ledger.commit(a_record(f"key-{n}"), []) for n in range(1200)))
        last = await ledger.commit(a_record("last", outcome=Outcome.REJECTED), [])

        late = VerdictFilter(sensor_id="camera-1", since=T0 + timedelta(hours=1))
        assert await ledger.query(late, limit=5) == [rare]
        assert await ledger.query(VerdictFilter(since=late.since), limit=5) == [rare]
        rejected = VerdictFilter(category="collision", outcome=Outcome.REJECTED)
        assert await ledger.since(rejected, after=0, limit=5) == [last]


CONFIG = AlertConfig(
    alert_type="Collision",
    prompt="Did they collide?",
    system_prompt="You are a guard.",
    enrichment_prompt="Describe it.",
    vlm_params={"max_tokens": 100},
    output_category="traffic",
    rules=AnswerRules(
        shape=AnswerShape.BOXES,
        verdict_mapping={"safe": "no"},
        reasoning_fields=("why",),
        abstain=(0.4, 0.6),
    ),
)


async def test_alert_type_keeps_every_field(store: RedisStore, clock: FrozenClock) -> None:
    """What another replica reads equals what was stored."""
    created = await RedisPromptBook(store, clock).create(CONFIG)
    found = await RedisPromptBook(store, clock).find(" collision ")

    assert found == created
    assert (created.rules, created.version, created.created_at) == (CONFIG.rules, 1, clock.now())


async def test_edit_reaches_other_replicas(store: RedisStore, clock: FrozenClock) -> None:
    """At once where it was made, a second later everywhere."""
    one, two = RedisPromptBook(store, clock), RedisPromptBook(store, clock)
    first = await one.create(CONFIG)
    before = await two.find("collision")
    second = await one.replace(first)
    here, there = await one.find("collision"), await two.find("collision")
    clock.advance(FRESH_S)

    assert (before, here, there) == (first, second, first)
    assert await two.find("collision") == second


async def test_one_of_two_replicas_creates_an_alert_type(
    store: RedisStore, clock: FrozenClock
) -> None:
    """The other is told that it exists; edits at the same time all get a version of their own."""
    books = [RedisPromptBook(store, clock) for _ in range(2)]
    created = await asyncio.gather(*(book.create(CONFIG) for book in books), return_exceptions=True)
    edited = await asyncio.gather(*(book.replace(CONFIG) for book in books * 5))

    assert sorted(type(result).__name__ for result in created) == [
        AlertConfig.__name__,
        AlreadyExists.__name__,
    ]
    assert sorted(config.version for config in edited) == list(range(2, 12))


async def test_replicas_that_seed_together_store_one_version(
    store: RedisStore, clock: FrozenClock
) -> None:
    """Each lays the same file under what is there, and only one of them adds something."""
    books = [RedisPromptBook(store, clock) for _ in range(3)]
    counts = await asyncio.gather(*(book.seed([CONFIG], override=False) for book in books))

    assert sorted(counts) == [0, 0, 1]


async def test_alert_types_are_known_while_redis_is_away(
    own_server: RedisProcess, clock: FrozenClock
) -> None:
    """Events in work get their prompts; only a replica that never read them cannot."""
    store = RedisStore(own_server.url)
    book = RedisPromptBook(store, clock)
    created = await book.create(CONFIG)
    await book.find("collision")
    own_server.kill()
    clock.advance(60)
    known = await book.find("collision")
    problem = await book.ping()
    with pytest.raises(StoreUnavailable):
        await RedisPromptBook(store, clock).find("collision")
    await store.close()

    assert known == created
    assert "Start it" in problem
