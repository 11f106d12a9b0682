"""All settings: one frozen tree, read once at start.

Sources, the later wins: defaults, the YAML file named by `--settings` or `SIDECAR_SETTINGS_FILE`,
environment variables `SIDECAR_<SECTION>__<KEY>`. A key that does not exist is an error.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from sidecar.errors import SettingsError
from sidecar.model import AnswerForm, EvidenceForm

ENV_PREFIX: Final = "SIDECAR_"
FILE_VARIABLE: Final = "SIDECAR_SETTINGS_FILE"

Network = IPv4Network | IPv6Network


def _split(value: object) -> object:
    """Let a list be written as `a,b` in an environment variable."""
    if not isinstance(value, str):
        return value
    return [item.strip() for item in value.split(",") if item.strip()]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HttpSettings(_Section):
    """The HTTP door."""

    host: str = "127.0.0.1"
    """Address to listen on. The API has no authentication yet: bind elsewhere only on a network
    that you trust."""
    port: int = Field(default=9080, ge=0, le=65535)
    """Port; 0 takes a free one."""
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    """Larger request bodies are refused with 413 before they are read."""
    max_json_depth: int = Field(default=32, ge=2, le=200)
    """Deeper nested JSON is refused with 422."""
    shutdown_grace_s: float = Field(default=20.0, ge=0)
    """How long a stop waits for verifications in flight; the rest is taken up at the next start."""


class MetricsSettings(_Section):
    """The Prometheus endpoint."""

    enabled: bool = True
    """Serve metrics at all."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=9081, ge=0, le=65535)
    """Port; 0 takes a free one."""


class LedgerSettings(_Section):
    """The durable memory."""

    path: Path = Path("sidecar-data/ledger.db")
    """SQLite file; its folder is made when missing. Keep it on a local disk."""
    max_backlog: int = Field(default=100_000, ge=1)
    """Undecided events that may wait; more are refused with 503."""
    max_attempts: int = Field(default=3, ge=1)
    """An event that was taken up this often without an end is decided as `poisoned`."""


class VerifySettings(_Section):
    """The use case."""

    max_in_flight: int = Field(default=8, ge=1, le=4096)
    """Verifications at the same time."""
    deadline_s: float = Field(default=120.0, gt=0)
    """Time for one verification from being taken up; then it ends as `deadline_expired`."""
    use_verdict: bool = True
    """Read a verdict from the answer about `info.media_urls`. VSS's shipped default is false: its
    direct media answers are free text without a verdict."""
    min_frames_seen: float = Field(default=0.9, ge=0, le=1)
    """Share of the frames sent that the model must have seen, by the tokens that its server counts;
    less ends as `frames_not_seen`. 0 switches it off, as servers that prune video tokens need."""


class MediaSettings(_Section):
    """Clips and pictures."""

    allowed_roots: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)] = ()
    """Folders whose files events may name in `info.video_path`, separated by commas. Empty: no
    local files."""
    allowed_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)] = ()
    """Private networks that events may name in URLs, such as `10.0.0.0/8,fd00::/8`. Loopback,
    private and link-local addresses are refused unless they are listed here."""
    fetch_timeout_s: float = Field(default=30.0, gt=0)
    """Time for one download, redirects included (VSS: 30)."""
    max_bytes: int = Field(default=52_428_800, ge=1024)
    """Largest file or download in bytes (VSS: 50 MB)."""
    max_duration_s: float = Field(default=600.0, gt=0)
    """Longest clip."""
    max_frame_pixels: int = Field(default=9_437_184, ge=1024)
    """Largest width x height of a frame before resizing (4096 x 2304)."""
    max_items: int = Field(default=5, ge=1, le=64)
    """Pictures of one event that are looked at (VSS: 5); further ones are left out."""
    decode_workers: int = Field(default=2, ge=1, le=64)
    """Clips decoded at the same time."""


class VstSettings(_Section):
    """VSS's video storage, where the clip of an event is found when the event names no media."""

    base_url: str = ""
    """Such as `http://vst-ingress:30888`. Empty: every event must name its media."""
    ignore_event_media: bool = False
    """Take every pipeline event's clip from VST, whatever media the event names, as VSS does unless
    `vst_pass_through_mode` is set."""
    timeout_s: float = Field(default=20.0, gt=0)
    """Time for one request to VST (VSS: 20)."""
    sensor_cache_s: float = Field(default=60.0, ge=0)
    """How long the sensor list is kept (VSS: 60)."""
    segment_anchor: Literal["start", "middle", "end"] = "end"
    """Which part of the event the clip shows (VSS: end)."""
    segment_duration_s: float = Field(default=10.0, ge=0)
    """Length of the clip; 0 is the whole event (VSS: 10)."""
    url_expiry_minutes: int = Field(default=1440, ge=1)
    """How long VST keeps the clip's URL valid (VSS: 1440)."""


class PromptSettings(_Section):
    """Alert types and their prompts."""

    alert_type_config: Path | None = None
    """An `alert_type_config.json` of VSS to start from. None: the alert types that come with the
    sidecar."""
    override_on_start: bool = False
    """Let the file replace prompts that were edited through the API (VSS: true)."""
    default_system: str = "You are a helpful assistant."
    """System prompt of alert types without their own; "" sends none."""


class ArmSettings(_Section):
    """One model behind the contract."""

    adapter: str = ""
    """Name in `adapters`, or `package.module:ATTRIBUTE`. Defaults to the arm's own name."""
    url: str = ""
    """OpenAI-compatible endpoint including `/v1`. The baseline arm has none."""
    model: str = ""
    """Model id to request; "" takes the first of `GET /v1/models`."""
    api_key: SecretStr = SecretStr("")
    """Sent as a bearer token when set."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Time for one request to the endpoint (VSS ships 5, too short to reason on an edge GPU)."""
    retries: int = Field(default=1, ge=0, le=10)
    """Further requests after a retryable failure, within the event's deadline (VSS: 1)."""
    evidence: EvidenceForm | None = None
    """`video`, `frames` or `url`; None takes the adapter's."""
    fps: float | None = Field(default=None, gt=0, le=60)
    """Frames per second to sample; None takes the adapter's."""
    max_frames: int | None = Field(default=None, ge=1, le=768)
    """Frames in all; None takes the adapter's."""
    max_pixels: int | None = Field(default=None, ge=4096)
    """Pixels of all frames together; None takes the adapter's."""
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    """0 makes verdicts repeatable."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """None leaves the server's default."""
    max_tokens: int | None = Field(default=1024, ge=1)
    """Length of the answer; a longer one counts as truncated, never as a verdict."""
    seed: int | None = None
    """None leaves the server's default."""
    answer: AnswerForm = AnswerForm.FREE
    """`free`: the prompt shapes the answer; `choice`: the server may only say yes or no."""
    reasoning: bool = False
    """Ask for a chain of thought before the answer."""
    response_parser: str = ""
    """`package.module.Class` with `parse(raw: str) -> dict`, as VSS's `vlm.response_parser`."""


class AbSettings(_Section):
    """Which arm answers."""

    primary: str = "baseline"
    """Name of the arm whose verdict is published."""


class ConsoleSinkSettings(_Section):
    """Verdicts as JSON lines on standard output."""

    enabled: bool = False
    """Print each verdict."""


class WebhookSinkSettings(_Section):
    """Verdicts by HTTP POST."""

    url: str = ""
    """Where to post; empty: off."""
    secret: SecretStr = SecretStr("")
    """Key of the `X-Sidecar-Signature` header (HMAC-SHA256); empty: unsigned."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Time for one delivery."""


class SinkSettings(_Section):
    """Where verdicts go besides the API."""

    console: ConsoleSinkSettings = ConsoleSinkSettings()
    """Standard output."""
    webhook: WebhookSinkSettings = WebhookSinkSettings()
    """An HTTP receiver."""
    max_attempts: int = Field(default=12, ge=1)
    """Deliveries of one verdict to one sink before it becomes a dead letter."""
    backoff_s: float = Field(default=0.5, gt=0)
    """Wait before the second delivery; doubles each time, with jitter."""
    backoff_max_s: float = Field(default=300.0, gt=0)
    """Longest wait between two deliveries."""


class LogSettings(_Section):
    """Logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    format: Literal["json", "console"] = "json"
    """One JSON object a line, or coloured text."""


DEFAULT_ARMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "baseline": {},
    "reason2": {"url": "http://127.0.0.1:8000/v1"},
    "cosmos3-nano": {"url": "http://127.0.0.1:8001/v1"},
}
DEFAULT_ADAPTERS: Final[Mapping[str, str]] = {
    "baseline": "adapters.baseline:ADAPTER",
    "reason2": "adapters.cosmos_reason2:ADAPTER",
    "cosmos3-nano": "adapters.cosmos3_nano:ADAPTER",
    "cosmos3-super": "adapters.cosmos3_super:ADAPTER",
    "cosmos3-edge": "adapters.cosmos3_edge:ADAPTER",
    "generic": "adapters.generic:ADAPTER",
}


def _merge_arms(value: object) -> object:
    """Lay the given arms over the built-in ones; `_` in a name is `-`, as shells allow no `-`."""
    if not isinstance(value, Mapping):
        return value
    merged: dict[str, Any] = {name: dict(arm) for name, arm in DEFAULT_ARMS.items()}
    for name, arm in value.items():
        known = merged.get(str(name).replace("_", "-"), {})
        merged[str(name).replace("_", "-")] = {**known, **arm} if isinstance(arm, Mapping) else arm
    return merged


def _merge_adapters(value: object) -> object:
    return {**DEFAULT_ADAPTERS, **value} if isinstance(value, Mapping) else value


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        validate_default=True,
    )

    http: HttpSettings = HttpSettings()
    metrics: MetricsSettings = MetricsSettings()
    ledger: LedgerSettings = LedgerSettings()
    verify: VerifySettings = VerifySettings()
    media: MediaSettings = MediaSettings()
    vst: VstSettings = VstSettings()
    prompts: PromptSettings = PromptSettings()
    ab: AbSettings = AbSettings()
    arms: Annotated[dict[str, ArmSettings], BeforeValidator(_merge_arms)] = Field(
        default_factory=dict
    )
    adapters: Annotated[dict[str, str], BeforeValidator(_merge_adapters)] = Field(
        default_factory=dict
    )
    sinks: SinkSettings = SinkSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: what the caller gives, then the environment, then the file."""
        del dotenv_settings, file_secret_settings
        return (init_settings, env_settings, _file_source(settings_cls))


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of the tree: dotted name, value in force, where it came from, what it means."""

    name: str
    value: object
    origin: str
    meaning: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return variable_of(self.name)


def variable_of(name: str) -> str:
    """Return the environment variable of a setting's dotted name."""
    return ENV_PREFIX + name.replace(".", "__").replace("-", "_").upper()


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` are whole sections that win over every other source.

    Raises:
        SettingsError: names each wrong key and what is wrong with it.
    """
    unknown = _unknown_variables()
    if unknown:
        raise SettingsError(
            f"Unknown environment variable {', '.join(unknown)}. "
            "`sidecar check` lists the ones that exist."
        )
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"Cannot read {os.environ.get(FILE_VARIABLE)}: {error}") from None


def describe_settings(settings: Settings) -> Sequence[Setting]:
    """List every leaf with its value and origin, in the order of the tree."""
    sources = {
        "environment": EnvSettingsSource(Settings)(),
        "file": _file_source(Settings)(),
    }
    return [
        Setting(".".join(path), value, _origin(path, sources), meaning)
        for path, value, meaning in _leaves(settings, ())
    ]


def _file_source(settings_cls: type[BaseSettings]) -> YamlConfigSettingsSource:
    name = os.environ.get(FILE_VARIABLE)
    if name and not Path(name).is_file():
        raise SettingsError(f"{FILE_VARIABLE} names {name}, which is not a file.")
    return YamlConfigSettingsSource(settings_cls, yaml_file=name or None)


def _unknown_variables() -> list[str]:
    """Find variables with our prefix whose first part is no section (pydantic checks the rest)."""
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | {FILE_VARIABLE}
    ours = (name for name in os.environ if name.upper().startswith(ENV_PREFIX))
    return sorted(name for name in ours if name.upper().split("__")[0] not in known)


def _explain(error: ValidationError) -> str:
    lines = []
    for issue in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in issue["loc"])
        lines.append(f"{name} ({variable_of(name)}): {issue['msg']}")
    return "Wrong settings. " + "; ".join(lines)


def _leaves(
    section: BaseModel, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], object, str]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        children = value.items() if isinstance(value, dict) else [("", value)]
        for key, child in children:
            here = (*path, name, key) if key else (*path, name)
            if isinstance(child, BaseModel):
                yield from _leaves(child, here)
            else:
                yield here, child, " ".join((field.description or "").split())


def _origin(path: tuple[str, ...], sources: Mapping[str, Mapping[str, Any]]) -> str:
    for origin, values in sources.items():
        node: Any = values
        for part in path:
            keys = (part, part.replace("-", "_"))
            node = next((node[k] for k in keys if isinstance(node, Mapping) and k in node), None)
        if node is not None:
            return origin
    return "default"
