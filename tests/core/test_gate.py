"""Who is let in, whatever the door."""

from pathlib import Path
from typing import Any

import pytest
from api_keys import ADMIN, READER, a_key, one_of_each, write_keys

from sidecar.access import ALL_SCOPES, NOBODY, Principal, Scope
from sidecar.core.api_keys import PREFIX, KeyRing, describe_key, hash_key, make_key
from sidecar.core.gate import Gate, RateLimits, Visitor, find_exposures, is_loopback
from sidecar.errors import Forbidden, RateLimited, RequestError, SettingsError, Unauthenticated
from sidecar.settings import SecuritySettings, Settings
from sidecar.testing.fakes import FrozenClock


class Refusals:
    """Counts refusals; `sidecar.ports.AccessMeter`."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, type[RequestError]]] = []

    def refused(self, door: str, error: RequestError) -> None:
        self.counted.append((door, type(error)))


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def meter() -> Refusals:
    return Refusals()


def a_gate(clock: FrozenClock, meter: Refusals, *, is_open: bool = False, **security: Any) -> Gate:
    settings = SecuritySettings.model_validate(security)
    trusted = settings.trusted_networks
    limits = RateLimits(clock)
    return Gate("http", KeyRing(settings), limits, meter, trusted=trusted, is_open=is_open)


@pytest.mark.parametrize("needed", Scope)
@pytest.mark.parametrize("scope", Scope)
def test_a_key_is_good_for_its_scopes_alone(
    clock: FrozenClock, meter: Refusals, scope: Scope, needed: Scope
) -> None:
    """`admin` implies the others; no other scope implies any."""
    gate = a_gate(clock, meter, keys=[a_key("k", scope)])
    if scope in {Scope.ADMIN, needed}:
        assert Principal(scope, frozenset({scope})) == gate.admit(Visitor("k"), needed)
        return
    with pytest.raises(Forbidden, match=needed):
        gate.admit(Visitor("k"), needed)


@pytest.mark.parametrize("shown", ["", "wrong", READER + " ", hash_key(READER), READER.upper()])
def test_nobody_else_is_let_in(clock: FrozenClock, meter: Refusals, shown: str) -> None:
    """Not without a key, not with a similar one, and not with the hash of one."""
    gate = a_gate(clock, meter, keys=one_of_each())
    with pytest.raises(Unauthenticated):
        gate.admit(Visitor(shown, "127.0.0.1"), Scope.READ)

    assert [("http", Unauthenticated)] == meter.counted


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [
        ("172.18.0.5", True),
        ("::ffff:172.18.0.5", True),
        ("fd00::7", True),
        ("172.19.0.1", False),
        ("8.8.8.8", False),
        ("::1", False),
        ("", False),
        ("no address", False),
    ],
)
def test_trusted_networks_need_no_key(
    clock: FrozenClock, meter: Refusals, address: str, is_trusted: bool
) -> None:
    """Whoever calls from one may do everything, under its address as name."""
    gate = a_gate(clock, meter, trusted_networks=["172.18.0.0/16", "fd00::/8"])
    try:
        admitted = gate.admit(Visitor("", address), Scope.ADMIN)
    except Unauthenticated:
        assert not is_trusted
    else:
        assert is_trusted
        assert Principal(f"anonymous@{address}", ALL_SCOPES, is_proven=False) == admitted


def test_a_known_key_counts_more_than_the_network(clock: FrozenClock, meter: Refusals) -> None:
    """Who shows a key is who it says; an unknown one, as clients send that need one, is ignored."""
    gate = a_gate(clock, meter, keys=[a_key("k", "read")], trusted_networks=["10.0.0.0/8"])
    with pytest.raises(Forbidden):
        gate.admit(Visitor("k", "10.0.0.1"), Scope.ADMIN)

    assert "anonymous@10.0.0.1" == gate.admit(Visitor("not-used", "10.0.0.1"), Scope.ADMIN).name


def test_an_open_gate_asks_nobody(clock: FrozenClock, meter: Refusals) -> None:
    """As on loopback without keys."""
    admitted = a_gate(clock, meter, is_open=True).admit(Visitor("any", "127.0.0.1"), Scope.ADMIN)

    assert ("anonymous@127.0.0.1", False) == (admitted.name, admitted.is_proven)


def test_a_certificate_counts_as_a_key_for_everything(clock: FrozenClock, meter: Refusals) -> None:
    """The door has verified it; a key that is shown beside it counts more."""
    gate = a_gate(clock, meter, keys=one_of_each())

    assert "certificate:pipeline" == gate.admit(Visitor("", "", "pipeline"), Scope.ADMIN).name
    with pytest.raises(Forbidden):
        gate.admit(Visitor(READER, "", "pipeline"), Scope.ADMIN)


def test_callers_of_what_is_open_are_recognised_if_they_can_be(
    clock: FrozenClock, meter: Refusals
) -> None:
    """A probe is nobody, and nothing is counted as refused."""
    gate = a_gate(clock, meter, keys=one_of_each())

    assert NOBODY == gate.recognise(Visitor("wrong", "127.0.0.1"))
    assert "admin" == gate.recognise(Visitor(ADMIN)).name
    assert [] == meter.counted


def test_a_key_may_be_used_so_many_times_a_minute(clock: FrozenClock, meter: Refusals) -> None:
    """They come again evenly, and the refusal says when."""
    gate = a_gate(clock, meter, keys=[a_key("k", "read", rate_per_minute=6), a_key(ADMIN, "admin")])
    for _ in range(6):
        gate.admit(Visitor("k"), Scope.READ)
    with pytest.raises(RateLimited) as caught:
        gate.admit(Visitor("k"), Scope.READ)
    gate.admit(Visitor(ADMIN), Scope.READ)  # another key has a rate of its own
    clock.advance(caught.value.retry_after_s)
    gate.admit(Visitor("k"), Scope.READ)

    assert 10 == caught.value.retry_after_s
    assert [("http", RateLimited)] == meter.counted


def test_unused_rates_do_not_pile_up(clock: FrozenClock, meter: Refusals) -> None:
    """After a day of silence there is a minute's worth."""
    gate = a_gate(clock, meter, keys=[a_key("k", "read", rate_per_minute=2)])
    gate.admit(Visitor("k"), Scope.READ)
    clock.advance(86_400)
    for _ in range(2):
        gate.admit(Visitor("k"), Scope.READ)
    with pytest.raises(RateLimited):
        gate.admit(Visitor("k"), Scope.READ)


def test_refused_calls_do_not_cost(clock: FrozenClock, meter: Refusals) -> None:
    """Somebody who tries what the key may not do does not use up its rate."""
    gate = a_gate(clock, meter, keys=[a_key("k", "read", rate_per_minute=1)])
    with pytest.raises(Forbidden):
        gate.admit(Visitor("k"), Scope.ADMIN)

    assert gate.admit(Visitor("k"), Scope.READ)


def test_what_a_stream_brings_is_waited_for(clock: FrozenClock, meter: Refusals) -> None:
    """Its events count as requests, and are slowed down instead of refused."""
    gate = a_gate(clock, meter, keys=[a_key("k", "submit", rate_per_minute=60)])
    gate.admit(Visitor("k"), Scope.SUBMIT)
    waits = [gate.borrow(Visitor("k"), 59), gate.borrow(Visitor("k"), 10)]
    clock.advance(10)

    assert [0.0, 10.0] == waits
    assert 0.0 == gate.borrow(Visitor("k"), 0)
    assert 0.0 == gate.borrow(Visitor("unknown"), 1000)


def test_the_file_of_keys_is_followed(clock: FrozenClock, meter: Refusals, tmp_path: Path) -> None:
    """A key that was taken out is refused from then on, a new one is known."""
    file = write_keys(tmp_path / "keys.yaml", "old")
    gate = a_gate(clock, meter, keys_file=file, keys=[a_key("fixed", "read")])
    before = gate.admit(Visitor("old"), Scope.ADMIN)
    write_keys(file, "new", "newer")

    assert "key-1" == before.name
    assert "key-2" == gate.admit(Visitor("newer"), Scope.ADMIN).name
    assert "read" == gate.admit(Visitor("fixed"), Scope.READ).name
    with pytest.raises(Unauthenticated):
        gate.admit(Visitor("old"), Scope.ADMIN)


@pytest.mark.parametrize("text", [None, "- {name: x", "just a text", "- {name: x, hash: y}"])
def test_a_file_that_broke_leaves_the_keys_as_they_were(
    clock: FrozenClock, meter: Refusals, tmp_path: Path, text: str | None
) -> None:
    """A mistake locks nobody out, and lets nobody in."""
    file = write_keys(tmp_path / "keys.yaml", "good")
    gate = a_gate(clock, meter, keys_file=file)
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    kept = gate.admit(Visitor("good"), Scope.ADMIN)
    write_keys(file, "mended")

    assert "key-1" == kept.name
    assert gate.admit(Visitor("mended"), Scope.ADMIN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("- {name: x", "not valid YAML"),
        ("just a text", "no list of keys"),
        ("- {name: x, hash: 'sha256:12', scopes: [read]}", "0.hash"),
        ("- {name: x, scopes: [read]}", "0.hash: Field required"),
    ],
)
def test_a_wrong_file_stops_the_start(tmp_path: Path, text: str | None, said: str) -> None:
    """The sentence names the file, what is wrong, and the variable."""
    file = tmp_path / "keys.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match="SIDECAR_SECURITY__KEYS_FILE") as caught:
        KeyRing(SecuritySettings(keys_file=file))

    assert said in caught.value.detail
    assert str(file) in caught.value.detail


@pytest.mark.parametrize("fields", [{"name": "other"}, {"hash": hash_key("other")}])
def test_a_key_that_is_there_twice_stops_the_start(fields: dict[str, str]) -> None:
    """Nobody could tell whose it is."""
    key = a_key("k", "read")
    with pytest.raises(SettingsError, match="is there twice"):
        KeyRing(SecuritySettings.model_validate({"keys": [key, {**key, **fields}]}))


def test_made_keys_are_long_and_all_different() -> None:
    """256 random bits each, so that their plain hash is safe to keep."""
    keys = {make_key() for _ in range(100)}

    assert 100 == len(keys)
    assert all(key.startswith(PREFIX) and len(key) >= len(PREFIX) + 43 for key in keys)


def test_the_line_of_a_key_is_what_the_file_takes(tmp_path: Path) -> None:
    """It can be pasted as it is, and does not hold the key."""
    key, file = make_key(), tmp_path / "keys.yaml"
    line = describe_key(key, "pipeline", "submit, read", rate_per_minute=60)
    file.write_text(line)
    found = KeyRing(SecuritySettings(keys_file=file)).find(key)

    assert key not in line
    assert found is not None
    assert ("pipeline", (Scope.SUBMIT, Scope.READ), 60) == (
        found.name,
        found.scopes,
        found.rate_per_minute,
    )


@pytest.mark.parametrize(("name", "scopes"), [("", "read"), ("a b", "read"), ("a", ""), ("a", "x")])
def test_a_key_needs_a_name_and_scopes(name: str, scopes: str) -> None:
    """Whatever the file would not take is refused when the key is made."""
    with pytest.raises(SettingsError, match="No such key can be made"):
        describe_key("key", name, scopes)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "example.com", "")],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, is_local: bool) -> None:
    """A name other than localhost may lead anywhere."""
    assert is_local == is_loopback(host)


EXPOSED = {"http": {"host": "0.0.0.0"}, "grpc": {"enabled": True, "host": "::"}}


@pytest.mark.parametrize(
    ("sections", "exposed"),
    [
        ({}, []),
        ({"grpc": {"host": "0.0.0.0"}}, []),  # it is off
        (EXPOSED, ["http.host", "grpc.host"]),
        ({**EXPOSED, "security": {"keys": one_of_each()}}, []),
        ({**EXPOSED, "security": {"keys_file": "keys.yaml"}}, []),
        ({**EXPOSED, "security": {"trusted_networks": "172.18.0.0/16"}}, []),
        ({**EXPOSED, "security": {"cors_origins": "https://ui"}}, ["http.host", "grpc.host"]),
        (
            {"grpc": {**EXPOSED["grpc"], "tls": dict.fromkeys(("cert", "key", "client_ca"), "f")}},
            [],
        ),
        ({"grpc": {**EXPOSED["grpc"], "tls": {"cert": "f", "key": "f"}}}, ["grpc.host"]),
    ],
)
def test_a_door_is_never_opened_to_others_by_leaving_something_out(
    sections: dict[str, Any], exposed: list[str]
) -> None:
    """Without keys, certificates of clients or trusted networks, the start is refused."""
    found = [error.detail for error in find_exposures(Settings(**sections))]

    assert exposed == [detail.partition(":")[0] for detail in found]
    assert all("SIDECAR_SECURITY__TRUSTED_NETWORKS" in detail for detail in found)
