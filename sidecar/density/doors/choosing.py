"""From URLs to what events are offered to."""

from importlib import import_module
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from sidecar.density.account import End
from sidecar.density.driver import OnEnd
from sidecar.density.events import Event
from sidecar.errors import SettingsError

_EXTRAS: Final = {"kafka": "kafka", "redis": "redis", "rediss": "redis", "grpc": "grpc"}
_SCHEMES: Final = "http://, https://, grpc://, kafka:// and redis://"


class Door(Protocol):
    """Where events go in."""

    async def open(self) -> None:
        """Connect."""

    async def prepare(self, event: Event) -> Any:
        """Build what will be sent."""

    async def send(self, event: Event, prepared: Any) -> End | None:
        """Send it; its end when that is known here."""

    async def close(self) -> None:
        """Disconnect."""


class Sink(Protocol):
    """Where verdicts come out."""

    async def open(self, on_end: OnEnd) -> None:
        """Connect, and tell every end."""

    async def close(self) -> None:
        """Disconnect."""


class SidecarTarget:
    """A door and a sink of one sidecar.

    Args:
        name: in reports.
        door: where events go in.
        sink: where verdicts come out; None when the door gives them.
    """

    def __init__(self, name: str, door: Door, sink: Sink | None) -> None:
        self._name = name
        self._door = door
        self._sink = sink

    @property
    def name(self) -> str:
        """As reports call it."""
        return self._name

    async def open(self, on_end: OnEnd) -> None:
        """Connect the sink, then the door."""
        if self._sink is not None:
            await self._sink.open(on_end)
        try:
            await self._door.open()
        except BaseException:
            if self._sink is not None:
                await self._sink.close()
            raise

    async def prepare(self, event: Event) -> Any:
        """Build what will be sent."""
        return await self._door.prepare(event)

    async def send(self, event: Event, prepared: Any) -> End | None:
        """Offer an event."""
        return await self._door.send(event, prepared)

    async def close(self) -> None:
        """Disconnect both."""
        await self._door.close()
        if self._sink is not None:
            await self._sink.close()


def choose_target(
    door: str, sink: str, *, api_key: str, timeout_s: float, knows_answers: bool
) -> SidecarTarget:
    """Build a target from the URLs of its door and its sink.

    Args:
        door: by its scheme HTTP, gRPC, Kafka or Redis Streams.
        sink: the same; "" takes the door's own, and for gRPC the call's answer.
        api_key: for HTTP and gRPC.
        timeout_s: wall seconds for one verdict, where a call waits for it.
        knows_answers: whether verdicts can be compared with known ones.

    Raises:
        SettingsError: a scheme is not known, or what it needs is not installed.
    """
    scheme, place = _split(door, "--door")
    _require(scheme)
    if scheme == "grpc":
        rpc = import_module("sidecar.density.doors.rpc")
        opened = rpc.RpcDoor(
            place, timeout_s=timeout_s, api_key=api_key, knows_answers=knows_answers
        )
        if sink:
            raise SettingsError("--sink: a gRPC door gives the verdict itself; leave --sink out.")
        return SidecarTarget("grpc", opened, None)
    entrance: Door
    if scheme == "kafka":
        entrance = import_module("sidecar.density.doors.kafka").KafkaDoor(place)
    elif scheme in {"redis", "rediss"}:
        entrance = import_module("sidecar.density.doors.streams").StreamsDoor(door)
    else:
        from sidecar.density.doors.http import HttpDoor

        entrance = HttpDoor(door, api_key)
    return SidecarTarget(scheme, entrance, _choose_sink(sink or door, api_key, knows_answers))


def _choose_sink(sink: str, api_key: str, knows_answers: bool) -> Sink:
    scheme, place = _split(sink, "--sink")
    _require(scheme)
    chosen: Sink
    if scheme == "grpc":
        raise SettingsError("--sink: verdicts are read from http://, kafka:// or redis://.")
    if scheme == "kafka":
        kafka = import_module("sidecar.density.doors.kafka")
        chosen = kafka.KafkaVerdicts(place, knows_answers=knows_answers)
    elif scheme in {"redis", "rediss"}:
        streams = import_module("sidecar.density.doors.streams")
        chosen = streams.StreamsVerdicts(sink, knows_answers=knows_answers)
    else:
        from sidecar.density.doors.http import VerdictStream

        chosen = VerdictStream(sink, api_key, knows_answers=knows_answers)
    return chosen


def _split(url: str, option: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https", *_EXTRAS} or not parts.netloc:
        raise SettingsError(f"{option}: {url!r} does not begin with one of {_SCHEMES}.")
    return parts.scheme, parts.netloc


def _require(scheme: str) -> None:
    from importlib.util import find_spec

    module = {"kafka": "confluent_kafka", "grpc": "grpc"}.get(scheme, "redis")
    if scheme in _EXTRAS and find_spec(module) is None:
        raise SettingsError(
            f"{scheme}:// needs {module}: pip install 'vss-vlm-sidecar[{_EXTRAS[scheme]}]'"
        )
