"""What a density run offers and promises, read from JSON."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sidecar.errors import SettingsError

_Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Promise(_Part):
    """One line of the service level: so many percent of the events end within so many seconds."""

    percent: float = Field(ge=50, lt=100)
    within_s: _Positive


class Burst(_Part):
    """Some sensors send more for a while, again and again."""

    share: float = Field(gt=0, le=1, description="Of the sensors.")
    factor: float = Field(ge=1, description="Times their usual rate.")
    every_s: _Positive
    lasts_s: _Positive

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.lasts_s >= self.every_s:
            raise ValueError("lasts_s must be shorter than every_s")
        return self


class Noisy(_Part):
    """Sensors that flood the service all the time. The promise is about the others."""

    sensors: int = Field(default=1, ge=1)
    factor: float = Field(default=100.0, ge=1, description="Times the usual rate.")


class Load(_Part):
    """What one sensor sends."""

    per_minute: _Positive
    arrivals: Literal["poisson", "periodic"] = Field(
        default="poisson", description="Periodic: one each 60/per_minute s, from a random moment."
    )
    category: str = Field(default="collision", min_length=1)
    burst: Burst | None = None
    noisy: Noisy | None = None


class Clip(_Part):
    """The clips. No two events have the same bytes, nor the same pictures."""

    seconds: int = Field(default=10, ge=1, le=600)
    width: int = Field(default=1920, ge=64, le=7680, multiple_of=2)
    height: int = Field(default=1080, ge=64, le=4320, multiple_of=2)
    fps: int = Field(default=30, ge=1, le=120)
    megabits: _Positive = Field(default=4.0, description="Per second.")


class Question(_Part):
    """What a bare model's server is asked about each clip."""

    text: str = "Does this clip show a collision? Answer yes or no."
    max_tokens: int = Field(default=1, ge=1)
    extra: dict[str, Any] = Field(
        default={}, description="Further fields of the request, such as media_io_kwargs."
    )


class Window(_Part):
    """When is measured. All times are those of the board, whatever the speed."""

    warm_up_s: float = Field(default=60.0, ge=0)
    measure_s: _Positive = 600.0
    events: int = Field(default=165, ge=20, description="Measured at least; it lasts as long.")
    give_up_s: _Positive = Field(default=120.0, description="Then an event is missing.")


class Search(_Part):
    """How the largest number of streams is looked for."""

    start: int = Field(default=4, ge=1)
    most: int = Field(default=1024, ge=1)
    resolution: float = Field(default=0.02, ge=0, lt=1, description="Share of the number; or 1.")
    confirm: int = Field(default=3, ge=0, description="Further seeds that must pass.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.start > self.most:
            raise ValueError("start must not be larger than most")
        return self


class Scenario(_Part):
    """One kind of load with its promise."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    about: str = Field(min_length=1)
    load: Load
    promises: tuple[Promise, ...] = Field(min_length=1)
    clip: Clip = Clip()
    question: Question = Question()
    window: Window = Window()
    search: Search = Search()
    streams: int | None = Field(default=None, ge=1, description="Offered as it is; no search.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        longest = max(it.within_s for it in self.promises)
        if self.window.give_up_s <= longest:
            raise ValueError(f"window.give_up_s must be longer than the longest promise, {longest}")
        noisy = self.load.noisy
        if noisy and self.streams is not None and noisy.sensors >= self.streams:
            raise ValueError("load.noisy.sensors must leave some of the streams quiet")
        return self

    @property
    def limit_s(self) -> float:
        """The first promise's time: what a single sensor is judged by."""
        return self.promises[0].within_s

    def offered_per_s(self, streams: int) -> float:
        """Return the events per second that so many sensors send on average, noise left out."""
        load = self.load
        more = 1.0
        if load.burst:
            b = load.burst
            more += b.share * (b.factor - 1) * b.lasts_s / b.every_s
        return streams * load.per_minute / 60 * more

    def measure_s(self, streams: int) -> float:
        """Return how long is measured, so that enough events come."""
        return max(self.window.measure_s, self.window.events / self.offered_per_s(streams))


def scenario_names() -> list[str]:
    """List the scenarios that the package brings."""
    folder = resources.files("sidecar.density") / "scenarios"
    names = (Path(item.name) for item in folder.iterdir())
    return sorted(name.stem for name in names if name.suffix == ".json")


def load_scenario(name_or_path: str) -> Scenario:
    """Read a scenario of the package by its name, or any file.

    Raises:
        SettingsError: there is none, or it is wrong; names what.
    """
    if name_or_path in scenario_names():
        file = resources.files("sidecar.density") / "scenarios" / f"{name_or_path}.json"
        return parse_scenario(file.read_text("utf-8"), name_or_path)
    try:
        return parse_scenario(Path(name_or_path).read_text("utf-8"), name_or_path)
    except OSError:
        names = ", ".join(scenario_names())
        raise SettingsError(
            f"There is no scenario {name_or_path!r}, neither a file nor one of: {names}."
        ) from None


def parse_scenario(text: str, source: str) -> Scenario:
    """Read a scenario's JSON.

    Args:
        text: the JSON.
        source: named in errors.

    Raises:
        SettingsError: names every field that is wrong.
    """
    try:
        return Scenario.model_validate_json(text)
    except ValidationError as error:
        issues = error.errors(include_url=False, include_input=False)
        found = "; ".join(
            f"{'.'.join(map(str, it['loc'])) or 'scenario'}: {it['msg']}" for it in issues
        )
        raise SettingsError(f"The scenario {source} is wrong. {found}") from None
