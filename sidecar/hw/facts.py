"""Facts about machines and models, each number with its source (`facts.yaml`)."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sidecar.errors import NotFound

_T = TypeVar("_T")

FILE: Final = Path(__file__).parent / "facts.yaml"


class Fact(NamedTuple):
    """A number and the key of its source."""

    value: float
    source: str


def _pair(value: object) -> object:
    return Fact(*value) if isinstance(value, list) else value


_Fact = Annotated[Fact, BeforeValidator(_pair)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Entry):
    """Where something is written or measured, and what it says there."""

    at: str
    says: str


class Remark(_Entry):
    """Something to know about a machine or a model."""

    text: str
    source: str
    precisions: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


class TextSizes(_Entry):
    """Sizes of a language model."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int


class VisionSizes(_Entry):
    """Sizes of a vision encoder; `mergers` is how many layers hand features to the text."""

    layers: int
    hidden: int
    intermediate: int
    mergers: int


class Architecture(_Entry):
    """Sizes of a vision-language model."""

    source: str
    text: TextSizes
    vision: VisionSizes


class Driver(_Entry):
    """The oldest version of NVIDIA's driver that VSS supports on a machine."""

    least: Annotated[str, BeforeValidator(str)]
    source: str


class Model(_Entry):
    """One model.

    Attributes:
        artefacts: checkpoints by precision.
        architecture: None when it is not published.
        parameters: stands in for the architecture, with `floor_gib`.
        floor_gib: what a device needs at least, by its maker.
        refused: machines on which it is known not to hold.
    """

    title: str
    artefacts: Mapping[str, str]
    architecture: Architecture | None = None
    parameters: _Fact | None = None
    floor_gib: _Fact | None = None
    refused: tuple[Remark, ...] = ()
    warnings: tuple[Remark, ...] = ()


class Precision(_Entry):
    """Bits of a weight, and the least compute capability of the GPU."""

    bits: _Fact
    from_capability: _Fact


class Engine(_Entry):
    """What a server takes beside weights and KV cache."""

    measured_gib: _Fact
    graphs_gib: _Fact
    video_tokens: _Fact


class Machine(_Entry):
    """One machine.

    Attributes:
        unified: processor and GPU share one memory.
        memory_gib: as the GPU shows it.
        most_share: of the memory that all servers may take together, 0..1.
        context: tokens of a request, for a model alone.
        shared_context: the same beside another model.
        sequences: requests at the same time.
        profiles: files in `hw_envs`.
        clocks_reset: whether the clocks are low again after each boot.
    """

    title: str
    arch: str
    unified: bool = False
    memory_gib: _Fact
    most_share: _Fact
    capability: _Fact
    driver: Driver | None = None
    clocks_reset: bool = False
    context: _Fact
    shared_context: _Fact
    sequences: _Fact
    profiles: tuple[str, ...]
    warnings: tuple[Remark, ...] = ()


class Capacity(_Entry):
    """A published run.

    Attributes:
        scope: of the whole pipeline, or of the model's server alone.
        streams: cameras; 0 for a run without any.
        per_minute: verifications of one stream that ended, or of all without streams.
        e2e_s: average time from event to verdict, or of a request.
        keeps_up: False when the backlog grew.
    """

    machine: str
    model: str
    precision: str
    streams: int
    per_minute: _Fact
    e2e_s: float
    keeps_up: bool
    scope: Literal["pipeline", "model"] = "pipeline"

    @property
    def per_second(self) -> float:
        """Verifications a second of all streams together."""
        return max(self.streams, 1) * self.per_minute.value / 60


class Facts(_Entry):
    """Everything that is known."""

    sources: Mapping[str, Source]
    engine: Engine
    precisions: Mapping[str, Precision]
    models: Mapping[str, Model]
    machines: Mapping[str, Machine]
    capacities: tuple[Capacity, ...] = Field(default=())

    def machine(self, name: str) -> Machine:
        """Return a machine.

        Raises:
            NotFound: there is none of that name; names those there are.
        """
        return _named(self.machines, name, "machine")

    def machine_of(self, profile: str) -> Machine | None:
        """Return the machine that a file in `hw_envs` is for; None when it is for several."""
        return next((it for it in self.machines.values() if profile in it.profiles), None)

    def model(self, name: str) -> Model:
        """Return a model.

        Raises:
            NotFound: there is none of that name; names those there are.
        """
        return _named(self.models, name, "model")


def _named(known: Mapping[str, _T], name: str, kind: str) -> _T:
    if name not in known:
        raise NotFound(f"There is no {kind} {name!r}. Known: {', '.join(known)}.")
    return known[name]


@cache
def load_facts() -> Facts:
    """Read the facts that come with the sidecar."""
    return Facts.model_validate(yaml.safe_load(FILE.read_text("utf-8")))
