"""Who is signed in, and for how long."""

from sidecar.core.sessions import MOST, Sessions
from sidecar.testing.fakes import FrozenClock


def test_a_session_is_found_by_its_secret_alone() -> None:
    """Neither another secret nor none opens it."""
    sessions = Sessions(FrozenClock(), 60)
    token, session = sessions.open("key")

    assert (session, None, None) == tuple(map(sessions.find, (token, "other", "")))


def test_a_session_ends_however_much_it_is_used() -> None:
    """It lasts from when it was opened."""
    clock = FrozenClock()
    sessions = Sessions(clock, 60)
    token, session = sessions.open("key")
    clock.advance(59)
    before = sessions.find(token)
    clock.advance(1)

    assert (session, None) == (before, sessions.find(token))


def test_a_closed_session_is_over() -> None:
    """Closing it again changes nothing."""
    sessions = Sessions(FrozenClock(), 60)
    token, _ = sessions.open("key")
    sessions.close(token)
    sessions.close(token)

    assert sessions.find(token) is None


def test_sessions_do_not_pile_up() -> None:
    """One more than there may be ends the oldest, and no other."""
    sessions = Sessions(FrozenClock(), 60)
    tokens = [sessions.open("key")[0] for _ in range(MOST + 1)]

    assert [None] == [found for token in tokens if not (found := sessions.find(token))]
    assert sessions.find(tokens[0]) is None
