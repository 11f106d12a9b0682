"""All settings: one frozen tree, read once at start.

Sources, the later wins: defaults, VSS's configuration where it is read (`sidecar.vss`), the YAML
file named by `--settings` or `SIDECAR_SETTINGS_FILE`, environment variables
`SIDECAR_<SECTION>__<KEY>`. A key that does not exist is an error.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from sidecar.access import Scope, in_order
from sidecar.errors import SettingsError
from sidecar.model import Anchor, AnswerForm, EventKind, EvidenceForm
from sidecar.policy import Policy

ENV_PREFIX: Final = "SIDECAR_"
FILE_VARIABLE: Final = "SIDECAR_SETTINGS_FILE"
VSS_CONFIG_VARIABLE: Final = "SIDECAR_VSS_CONFIG"
"""Names a `config.yml` of VSS, which `sidecar.vss.loading` reads."""
API_KEY_VARIABLE: Final = "SIDECAR_API_KEY"
"""The key that commands show to a running sidecar."""

Network = IPv4Network | IPv6Network


def _split(value: object) -> object:
    """Let a list be written as `a,b` in an environment variable."""
    if not isinstance(value, str):
        return value
    return [item.strip() for item in value.split(",") if item.strip()]


def _flow(value: object) -> object:
    """Let a list of mappings be written as YAML or JSON in an environment variable."""
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value) or ()
    except yaml.YAMLError:
        raise ValueError("this is neither YAML nor JSON") from None


def _texts(value: object) -> object:
    """Let keys and values be written as YAML's `true` and `false`."""
    if not isinstance(value, Mapping):
        return value
    return {str(key).lower(): str(item) for key, item in value.items()}


def _check_distinct(**places: str) -> None:
    """Refuse one place for two things, such as one topic for incidents and alerts."""
    names = list(places.values())
    shared = next((name for name in names if names.count(name) > 1), None)
    if shared is not None:
        twice = " and ".join(f"`{key}`" for key, name in places.items() if name == shared)
        raise ValueError(f"{twice} are both {shared!r}; give each a name of its own")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HttpTlsSettings(_Section):
    """Encryption of the HTTP door. The files are read again when they change."""

    cert: Path | None = None
    """PEM file with the server's certificate and those of the authorities between; None: plain
    text."""
    key: Path | None = None
    """PEM file with its private key."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("give both `cert` and `key`, or neither")
        return self


class HttpSettings(_Section):
    """The HTTP door."""

    host: str = "127.0.0.1"
    """Address to listen on. Any but loopback needs the section `security`."""
    port: int = Field(default=9080, ge=0, le=65535)
    """Port; 0 takes a free one."""
    max_requests: int = Field(default=2048, ge=1)
    """Requests at the same time, streams of verdicts included; more are refused with 503. Health is
    always answered."""
    max_connections: int = Field(default=8192, ge=1)
    """Connections at the same time, idle ones included; on more, every request gets 503."""
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    """Larger request bodies are refused with 413 before they are read."""
    max_json_depth: int = Field(default=32, ge=2, le=200)
    """Deeper nested JSON is refused with 422."""
    shutdown_grace_s: float = Field(default=20.0, ge=0)
    """How long a stop waits for verifications in flight; the rest is taken up at the next start."""
    tls: HttpTlsSettings = HttpTlsSettings()
    """Encryption."""


class RpcTlsSettings(_Section):
    """Encryption of the gRPC door. The files are read again when they change."""

    cert: Path | None = None
    """PEM file with the server's certificate and those of the authorities between; None: plain
    text."""
    key: Path | None = None
    """PEM file with its private key."""
    client_ca: Path | None = None
    """PEM file of the authorities that sign the certificates of clients. Every client has to show
    one then, which stands for all scopes unless the call shows an API key."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("give both `cert` and `key`, or neither")
        if self.client_ca is not None and self.cert is None:
            raise ValueError("`client_ca` needs `cert` and `key`")
        return self


class RpcSettings(_Section):
    """The gRPC door."""

    enabled: bool = False
    """Serve gRPC at all; needs the extra `grpc`."""
    host: str = "127.0.0.1"
    """Address to listen on. Any but loopback needs the section `security`, or `tls.client_ca`."""
    port: int = Field(default=9082, ge=0, le=65535)
    """Port; 0 takes a free one."""
    max_message_bytes: int = Field(default=67_108_864, ge=1024)
    """Larger messages are refused; a message carries inline media whole."""
    max_calls: int = Field(default=2048, ge=1)
    """Calls at the same time, streams included; more are refused as RESOURCE_EXHAUSTED."""
    keepalive_s: float = Field(default=30.0, gt=0)
    """A connection that is silent for so long is asked whether it lives."""
    keepalive_timeout_s: float = Field(default=10.0, gt=0)
    """It is closed when it does not answer for so long."""
    min_ping_interval_s: float = Field(default=10.0, ge=0)
    """Clients that ask more often whether the server lives are disconnected."""
    health_every_s: float = Field(default=5.0, gt=0)
    """How often the health service looks whether the sidecar is ready."""
    shutdown_grace_s: float = Field(default=2.0, ge=0)
    """How long a stop waits for calls to end."""
    tls: RpcTlsSettings = RpcTlsSettings()
    """Encryption."""


class ApiKeySettings(_Section):
    """One API key. `sidecar keys new` writes it."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Who has it, in metrics and in the audit trail."""
    hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    """SHA-256 of the key. The key itself is nowhere."""
    scopes: tuple[Scope, ...] = Field(min_length=1)
    """What its holder may do: `read`, `submit`, `label`, `admin`."""
    rate_per_minute: int | None = Field(default=None, ge=1)
    """Requests a minute, which come again evenly; up to so many at once. None: no limit."""

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(in_order(self.scopes))})"


def _origin_of(value: str) -> str:
    if not re.fullmatch(r"https?://[^/*\s@?#]+", value):
        raise ValueError(f"{value!r} is no origin; write each such as https://ui.example.com")
    return value.lower()


class SecuritySettings(_Section):
    """Who may call. Without keys the doors are open on loopback, and on no other address."""

    keys: Annotated[tuple[ApiKeySettings, ...], NoDecode, BeforeValidator(_flow)] = ()
    """API keys, as YAML or JSON: `[{name: pipeline, hash: "sha256:...", scopes: [submit]}]`."""
    keys_file: Path | None = None
    """YAML file with a list of further ones, such as a mounted secret; read again when it
    changes."""
    trusted_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)] = ()
    """Networks whose callers need no key and may do everything, such as VSS's own:
    `172.18.0.0/16`. In the place of VSS's Alert Bridge: private networks."""
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_origin_of)], ...], NoDecode, BeforeValidator(_split)
    ] = ()
    """Web pages that may call from browsers, such as `https://ui.example.com`, separated by commas.
    Empty: those that the sidecar itself serves."""
    session_s: float = Field(default=43_200.0, gt=0)
    """How long whoever signed in to the page at `/ui` with a key stays so."""


class MetricsSettings(_Section):
    """The Prometheus endpoint."""

    enabled: bool = True
    """Serve metrics at all."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=9081, ge=0, le=65535)
    """Port; 0 takes a free one."""


class RedisLedgerSettings(_Section):
    """The durable memory that several replicas share."""

    url: SecretStr = SecretStr("")
    """Such as `redis://:password@redis:6379/0` or `rediss://...`. Empty: the SQLite file is used,
    which belongs to one process."""
    namespace: str = Field(default="sidecar", pattern=r"^[^{}]+$")
    """Start of all keys; replicas that share work share it."""
    lease_s: float = Field(default=30.0, ge=1)
    """What a replica works on is free for the others so long after its end."""
    timeout_s: float = Field(default=5.0, gt=0)
    """Time for one exchange."""
    wait_aof: bool = False
    """Answer only when Redis has synced the write to its disk (Redis 7.2 and newer, with AOF)."""
    is_cluster: bool = False
    """The URL names a node of a Redis Cluster."""


class LedgerSettings(_Section):
    """The durable memory."""

    path: Path = Path("sidecar-data/ledger.db")
    """SQLite file; its folder is made when missing. Keep it on a local disk."""
    redis: RedisLedgerSettings = RedisLedgerSettings()
    """Redis instead of the file."""
    max_backlog: int = Field(default=100_000, ge=1)
    """Undecided events that may wait; more are refused with 503."""
    max_attempts: int = Field(default=3, ge=1)
    """An event that was taken up this often without an end is decided as `poisoned`."""


class VerifySettings(_Section):
    """The use case."""

    max_in_flight: int = Field(default=64, ge=1, le=4096)
    """Verifications at the same time, and requests to one of an arm's endpoints, at most."""
    adaptive: bool = True
    """Find below that how many requests each endpoint turns into throughput, and keep what is more
    in line here; false always goes up to `max_in_flight`."""
    deadline_s: float = Field(default=120.0, gt=0)
    """Time for one verification from being taken up; then it ends as `deadline_expired`."""
    share_answers: bool = False
    """Let events that ask the same at the same time, about the same clip and window, wait for one
    look and share its answer."""
    use_verdict: bool = True
    """Read a verdict from the answer about `info.media_urls`. VSS's shipped default is false: its
    direct media answers are free text without a verdict."""
    min_frames_seen: float = Field(default=0.9, ge=0, le=1)
    """Share of the frames asked for that the model must have seen, by the tokens that its server
    counts; less ends as `frames_not_seen`. 0 switches it off, as servers that prune video tokens
    need."""
    ask_again: bool = True
    """Ask once more, by a choice between yes and no, when an answer is empty, cut off or without a
    verdict; both answers are recorded."""


def _by_lower_name(value: object) -> object:
    """Let names be written in any case."""
    return (
        {str(key).lower(): it for key, it in value.items()} if isinstance(value, Mapping) else value
    )


class SchedulingSettings(_Section):
    """Which event is next, and which one is too late. VSS takes them as they come, however late."""

    deadline_s: float = Field(default=600.0, gt=0)
    """An event that is not decided so long after it was taken in ends as `deadline_expired`. A
    restart of the service begins the time anew."""
    deadlines: Annotated[
        dict[str, Annotated[float, Field(gt=0)]], BeforeValidator(_by_lower_name)
    ] = Field(default={})
    """The same for single categories, such as `{"collision": 30}`."""
    priority: int = Field(default=5, ge=0, le=9)
    """How urgent an event is; 0 is the most urgent. Less urgent ones wait for all others."""
    priorities: Annotated[
        dict[str, Annotated[int, Field(ge=0, le=9)]], BeforeValidator(_by_lower_name)
    ] = Field(default={})
    """The same for single categories, such as `{"collision": 0}`."""
    ageing_s: float = Field(default=30.0, gt=0)
    """Each time an event has waited so long, it counts as one step more urgent."""
    shed: bool = True
    """End an event at once, as `overloaded`, when it cannot be decided before its deadline by what
    is in line before it and by how long events took lately."""
    max_queued: int = Field(default=4096, ge=1)
    """Events in line, among which sensors get equal shares; further ones stay in the ledger, in the
    order in which they came."""


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
    decode_processes: int | None = Field(default=None, ge=0, le=64)
    """Processes that decode clips, started when they are needed: one that crashes costs only its
    clip. None: one for each core, up to 16; 0 decodes in the service's own process."""
    decode_workers: int = Field(default=2, ge=1, le=64)
    """Clips decoded at the same time where `decode_processes` is 0."""
    inline_dir: Path | None = None
    """Folder for frames and clips that come with their event; they are removed after its verdict.
    None: `inline` beside the SQLite ledger. Replicas with a Redis ledger need a folder that all of
    them share; without it inline media are refused."""
    inline_max_frames: int = Field(default=64, ge=1, le=768)
    """Inline frames of one event."""
    inline_max_total_bytes: int = Field(default=10_737_418_240, ge=1024)
    """Inline media of all events that wait for their verdict; more are refused as overloaded."""


class FrameSettings(_Section):
    """Small pictures of what models were shown, kept for people who look at verdicts."""

    keep_bytes: int = Field(default=536_870_912, ge=0)
    """Room on the disk; the oldest go first. 0: none are kept, and a clip is decoded again when
    somebody looks, while it is still to be had."""
    keep_days: float = Field(default=7.0, gt=0)
    """How long to keep them."""
    dir: Path | None = None
    """Folder for them. None: `frames` beside the SQLite ledger. Replicas with a Redis ledger need a
    folder that all of them share; without it none are kept."""
    per_event: int = Field(default=8, ge=1, le=64)
    """Pictures of one event, evenly chosen from what the model was shown."""
    width: int = Field(default=320, ge=64, le=1280)
    """Their width in pixels, at most."""


class DensitySettings(_Section):
    """What `sidecar density` found out about this deployment."""

    report: Path | None = None
    """`report.json` of its last run, for the operator's page; None: none is shown."""


class TrialSettings(_Section):
    """Asking again about decided events, with another arm or prompt."""

    max_in_flight: int = Field(default=2, ge=1)
    """Trials at the same time; more are refused as overloaded."""
    deadline_s: float = Field(default=60.0, gt=0)
    """Time for one question, where `verify.deadline_s` is not less."""


class VstOverlaySettings(_Section):
    """How VST draws the objects of an event; names and defaults of VSS's `vst_config.overlay`."""

    color: str = "green"
    """Colour of the boxes (VSS: green)."""
    thickness: int = Field(default=5, ge=0)
    """Width of their lines (VSS: 5)."""
    opacity: int = Field(default=254, ge=0, le=255)
    """Opacity of their lines (VSS: 254)."""
    debug: bool = True
    """Passed on to VST (VSS: true)."""
    show_object_ids: bool = False
    """Write the id of each object beside its box (VSS: `showObjId`, false)."""
    object_id_position: int = 0
    """Where to write it (VSS: `objIdPosition`, 0)."""


class VstSettings(_Section):
    """VSS's video storage, where the clip of an event is found when the event names no media."""

    base_url: str = ""
    """Such as `http://vst-ingress:30888`. Empty: every event must name its media."""
    storage_url: str = ""
    """Where clips are asked for, when that is not `base_url` (VSS: `storage.base_url` and
    STORAGE_MODULE_ENDPOINT)."""
    sensor_list_endpoint: str = Field(default="/vst/api/v1/sensor/streams", pattern="^/")
    """Path of the sensor list (VSS: the same)."""
    file_path_endpoint: str = Field(default="/api/v1/storage/file/path", pattern="^/")
    """Path that tells where the file of an alert's `vst_id` lies (VSS 2.4: the same)."""
    ignore_event_media: bool = False
    """Take every pipeline event's clip from VST, whatever media the event names, as VSS does unless
    `vst_pass_through_mode` is set."""
    timeout_s: float = Field(default=20.0, gt=0)
    """Time for one request to VST (VSS: 20)."""
    sensor_cache_s: float = Field(default=60.0, ge=0)
    """How long the sensor list is kept (VSS: 60)."""
    segment_anchor: Anchor = Anchor.END
    """Which part of the event the clip shows, for alert types without a `segment_anchor` of their
    own (VSS: end)."""
    segment_duration_s: float = Field(default=10.0, ge=0)
    """Length of the clip; 0 is the whole event (VSS: 10)."""
    wait_for_recording_s: float = Field(default=20.0, ge=0)
    """How long after the end of a clip it may take until VST has recorded it (VSS: 0). Until then
    VST is asked again; what ended longer ago and is not there is not waited for."""
    url_expiry_minutes: int = Field(default=1440, ge=1)
    """How long VST keeps the clip's URL valid (VSS: 1440)."""
    add_overlay: bool = False
    """Let VST draw boxes round the objects of the event (VSS: false)."""
    retry_without_overlay: bool = False
    """Ask for the plain clip when VST cannot give one with boxes (VSS: false)."""
    overlay: VstOverlaySettings = VstOverlaySettings()
    """How the boxes look."""
    rewrite_urls: bool = True
    """Fetch clips from `base_url` even when VST names an origin that is meant for browsers outside,
    and apply `external_host` (VSS: `url_transform.enabled`, true)."""
    internal_host: str = ""
    """Host in VST's URLs that readers outside cannot reach (VSS: INTERNAL_IP)."""
    external_host: str = ""
    """Stands in its place in `info.videoSource` (VSS: EXTERNAL_IP). Empty: leave the host."""
    model_is_remote: bool = False
    """Give models that fetch the clip themselves the URL for readers outside (VSS: VLM_MODE is not
    local)."""


class KafkaSettings(_Section):
    """Incidents and alerts from Kafka, as NvSchema protobuf or JSON."""

    bootstrap_servers: str = ""
    """Such as `kafka:29092`, several separated by commas; empty: off."""
    group_id: str = Field(default="alert-bridge-vlm-group", min_length=1)
    """Consumer group; replicas share it and divide the partitions among them."""
    incidents_topic: str = Field(default="mdx-incidents", min_length=1)
    """Topic of incidents."""
    alerts_topic: str = Field(default="mdx-alerts", min_length=1)
    """Topic of alerts."""
    start_at: Literal["latest", "earliest"] = "latest"
    """Where a group that is new to a topic begins (VSS: latest). Afterwards nothing is skipped."""
    dead_letter_topic: str = Field(default="mdx-vlm-dead-letters", min_length=1)
    """Takes records that can never be events, with the cause in their headers."""
    session_timeout_s: float = Field(default=45.0, ge=1)
    """A member that is silent for so long loses its partitions."""
    options: dict[str, SecretStr] = Field(default={})
    """Further properties of librdkafka, such as `security.protocol` and `sasl.username`."""

    @model_validator(mode="after")
    def _topics(self) -> Self:
        _check_distinct(
            incidents_topic=self.incidents_topic,
            alerts_topic=self.alerts_topic,
            dead_letter_topic=self.dead_letter_topic,
        )
        return self


class GroupSettings(_Section):
    """How streams of Redis are read."""

    section: ClassVar[str]
    """Its name in the tree."""

    url: SecretStr = SecretStr("")
    """Such as `redis://:password@redis:6379/0` or `rediss://...`; empty: off."""
    group: str = Field(default="alert-bridge-vlm-group", min_length=1)
    """Consumer group; replicas share it."""
    consumer: str = ""
    """Name of this replica in the group, to which its process id is added; empty: the host's."""
    start_at: Literal["latest", "earliest"] = "latest"
    """Where a group that does not exist yet begins (VSS: latest)."""
    dead_letter_stream: str = Field(default="mdx-vlm-dead-letters", min_length=1)
    """Takes entries that can never be events, with the cause beside them."""
    sweep_s: float = Field(default=5.0, gt=0)
    """How often entries of dead members are looked for."""
    claim_after_s: float = Field(default=15.0, gt=0)
    """Entries that were read and not stored for so long are taken over from their reader (VSS: 60).
    A reader that is alive and waits for room keeps its entries."""
    max_deliveries: int = Field(default=5, ge=1)
    """Entries that were delivered so often without being stored go to the dead letters."""
    delete_safe: bool = False
    """Delete entries that every group of their stream has acknowledged, so that nobody needs to
    trim the streams and none is trimmed unread. Needs Redis 8.2; older ones keep them."""

    @property
    def kinds(self) -> Mapping[str, EventKind]:
        """What the entries of each stream are, by its name."""
        raise NotImplementedError


class StreamsSettings(GroupSettings):
    """Incidents and alerts from Redis Streams."""

    section = "streams"

    incidents_stream: str = Field(default="mdx-incidents", min_length=1)
    """Stream of incidents."""
    alerts_stream: str = Field(default="mdx-alerts", min_length=1)
    """Stream of alerts."""

    @property
    def kinds(self) -> Mapping[str, EventKind]:
        """What the entries of each stream are, by its name."""
        return {self.incidents_stream: EventKind.INCIDENT, self.alerts_stream: EventKind.ALERT}

    @model_validator(mode="after")
    def _streams(self) -> Self:
        _check_distinct(
            incidents_stream=self.incidents_stream,
            alerts_stream=self.alerts_stream,
            dead_letter_stream=self.dead_letter_stream,
        )
        return self


class BridgeSettings(GroupSettings):
    """The Redis streams of VSS 2.4's Alert Bridge: alerts that bring their prompt, and reviews."""

    section = "bridge"

    group: str = Field(default="vlm_agents_group", min_length=1)
    """Consumer group; replicas share it (VSS 2.4: the same)."""
    start_at: Literal["latest", "earliest"] = "earliest"
    """Where a group that does not exist yet begins (VSS 2.4: earliest)."""
    dead_letter_stream: str = Field(default="alert-bridge-dead-letters-stream", min_length=1)
    """Takes entries that are no alerts, with the cause beside them."""
    input_stream: str = Field(default="alert-bridge-input-stream", min_length=1)
    """Stream of alerts (VSS 2.4: the same)."""
    enhanced_stream: str = Field(default="alert-bridge-enhanced-stream", min_length=1)
    """Gets the document of each reviewed alert (VSS 2.4: the same)."""
    incidents_stream: str = "alert-bridge-incidents-stream"
    """Gets the document of each verified nv.Incident (VSS 2.4: the same); empty: they are not
    written here."""
    max_length: int = Field(default=0, ge=0)
    """Entries that these two streams keep, roughly; older ones are dropped, read or not. 0 keeps
    all."""
    remember_s: int = Field(default=3600, ge=1)
    """How long Redis remembers that a document was written, so that a repeated delivery writes no
    second entry."""
    timeout_s: float = Field(default=5.0, ge=0.1)
    """Time for one exchange when writing."""
    request_defaults: Path | None = None
    """VSS 2.4's `alert_request_defaults.yaml`, which fills in what alerts leave out (VSS 2.4:
    ALERT_AGENT_DEFAULTS_FILE). None: the values that VSS ships."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        names = (
            self.input_stream,
            self.enhanced_stream,
            self.incidents_stream,
            self.dead_letter_stream,
        )
        if len(set(names)) < len(names):
            raise ValueError("the streams must have different names, or what goes out comes in")
        return self

    @property
    def kinds(self) -> Mapping[str, EventKind]:
        """What the entries of each stream are, by its name."""
        return {self.input_stream: EventKind.ALERT}


class WebSocketSettings(_Section):
    """Verdicts over WebSocket, at `/ws/alerts` and `/ws`."""

    enabled: bool = True
    """Offer it (VSS 2.4: true)."""
    max_clients: int = Field(default=1000, ge=0)
    """Connections at the same time; further ones are closed with code 1013."""
    max_behind: int = Field(default=256, ge=1)
    """Frames that a client may be behind; one that is slower is closed with code 1013."""
    ping_s: float = Field(default=20.0, gt=0)
    """How often a client is asked whether it lives."""
    ping_timeout_s: float = Field(default=20.0, gt=0)
    """A client that does not answer for so long is closed."""


class EndTimeDeltaSettings(_Section):
    """Updates whose end has hardly moved (VSS: `end_time_delta_filter`)."""

    enabled: bool = False
    """Drop updates of events with objects while their end stays close (VSS: false)."""
    threshold_s: float = Field(default=5.0, ge=0)
    """How far the end must have moved for the update to be verified (VSS: 5)."""
    ttl_s: float = Field(default=3600.0, gt=0)
    """How long after an accepted event its updates are compared with it (VSS: 3600)."""


class RateLimitSettings(_Section):
    """Updates that come too often (VSS: `vlm_rate_limit_enabled`)."""

    enabled: bool = False
    """Drop updates of the categories in `end_time_in_dedup_key_categories` (VSS: false)."""
    ttl_s: float = Field(default=300.0, gt=0)
    """For how long after an accepted event (VSS: 300)."""


class ProtectConfirmedSettings(_Section):
    """Updates of what was confirmed (VSS: `protect_confirmed_verdicts`)."""

    enabled: bool = False
    """Skip events whose document was confirmed last (VSS: false)."""
    ttl_s: float = Field(default=600.0, gt=0)
    """For how long after that verdict (VSS: 600)."""


class FilterSettings(_Section):
    """Which updates of an event are verified again. The same event is never verified twice."""

    dedup_ttl_s: float = Field(default=300.0, gt=0)
    """Updates are dropped for so long after an accepted event (VSS: 300)."""
    end_time_in_dedup_key_categories: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_split)
    ] = ()
    """Categories whose updates with another `end` are verified at once, separated by commas (VSS:
    none)."""
    verify_only_finished_events: bool = False
    """Drop events whose `info.isComplete` is not true (VSS: false)."""
    end_time_delta: EndTimeDeltaSettings = EndTimeDeltaSettings()
    """Updates whose end has hardly moved."""
    rate_limit: RateLimitSettings = RateLimitSettings()
    """Updates that come too often."""
    protect_confirmed: ProtectConfirmedSettings = ProtectConfirmedSettings()
    """Updates of what was confirmed."""


class PromptSettings(_Section):
    """Alert types and their prompts."""

    alert_type_config: Path | None = None
    """An `alert_type_config.json` of VSS to start from. None: the alert types that come with the
    sidecar."""
    override_on_start: bool = False
    """Let the file replace prompts that were edited through the API (VSS: true)."""
    default_system: str = "You are a helpful assistant."
    """System prompt of alert types without their own; "" sends none."""


class AnswerSettings(_Section):
    """How answers are read. The formats are for alert types without an `answer` of their own."""

    response_format: str = "auto"
    """`auto` or `cosmos-reason`: find the verdict wherever it stands; `json`: only in JSON;
    `other`: the text is a description without a verdict; else the name of a parser that
    `custom_parser_module` registers."""
    json_verdict_field: str = ""
    """Dotted path to the verdict in JSON. Empty: `prediction_answer` for the format `json`, as in
    VSS, else the usual names."""
    json_verdict_mapping: Annotated[dict[str, str], BeforeValidator(_texts)] = Field(
        default_factory=dict
    )
    """What values of that field mean, such as `{"true": "YES", "false": "NO"}`."""
    json_reasoning_fields: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """JSON fields to take the reasoning from, the first that is not empty, separated by commas.
    Empty: VSS's for the format `json`, else the usual names."""
    response_parser: str = ""
    """`package.module.Class` with `parse(raw: str) -> dict`, as VSS's `vlm.response_parser`. It
    reads all answers, whatever their format."""
    custom_parser_module: str = ""
    """`package.module` that calls `register_parser(name, function)` when it is imported, as VSS's
    `vlm.custom_parser_module`."""


class ArmSettings(_Section):
    """One model behind the contract."""

    adapter: str = ""
    """Name in `adapters`, or `package.module:ATTRIBUTE`. Defaults to the arm's own name."""
    url: str = ""
    """OpenAI-compatible endpoint including `/v1`. The baseline arm has none."""
    urls: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Several endpoints of the same model, separated by commas, instead of `url`: the one with the
    fewest requests in flight is asked, and one that fails is left out until it works again."""
    model: str = ""
    """Model id to request; "" takes the first of `GET /v1/models`."""
    api_key: SecretStr = SecretStr("")
    """Sent as a bearer token when set."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Time for one request to the endpoint (VSS ships 5, too short to reason on an edge GPU)."""
    retries: int = Field(default=1, ge=0, le=10)
    """Further requests after a retryable failure, within the event's deadline (VSS: 1)."""
    max_in_flight: int | None = Field(default=None, ge=1, le=4096)
    """Requests to one endpoint at the same time, at most; None takes `verify.max_in_flight`."""
    reconnect_s: float = Field(default=30.0, ge=0)
    """How long an event waits for a server that cannot be reached, such as one that restarts, if
    its deadline allows it (VSS: not at all)."""
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

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if self.api_key.get_secret_value() and "@" in self.url.partition("://")[2].split("/")[0]:
            raise ValueError("give a user in `url`, or `api_key`, but not both")
        return self


class GateSettings(_Section):
    """When an arm may take over the events of another."""

    candidate: str = ""
    """Arm to promote from the start on; empty: none, until `sidecar ab promote` names one."""
    acts: bool = False
    """Give the candidate its share of the events, and take it back when something breaks; else the
    gate only recommends."""
    margin: float = Field(default=0.02, gt=0, lt=1)
    """How much less often the candidate may be right: 0.02 is two points."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Chance of promoting one that is worse by the margin or more, however often one looks."""
    min_labelled: int = Field(default=300, ge=0)
    """Labelled events about which both arms were asked, at least."""
    max_p95_ratio: float = Field(default=1.2, gt=0)
    """95th percentile of its latency over the reference's, at most."""
    unparsable_allowance: float = Field(default=0.005, ge=0, lt=1)
    """How much more often its answers may be no verdict."""
    shares: Annotated[tuple[float, ...], NoDecode, BeforeValidator(_split)] = (0.01, 0.1, 0.5, 1.0)
    """Of the events, step by step, growing up to 1; separated by commas."""
    step_events: int = Field(default=50, ge=0)
    """Events that the candidate answers at one share before it gets the next."""
    every_s: float = Field(default=60.0, gt=0)
    """Between two looks."""
    shadow_share: float = Field(default=1.0, gt=0, le=1)
    """Of the events, about which both arms are asked during a promotion."""
    shadow_limit: int = Field(default=2, ge=1, le=256)
    """Events about which the arm that does not answer is asked at the same time."""


class AbSettings(_Section):
    """Which arm answers."""

    primary: str = "baseline"
    """Name of the arm whose verdict is published, when no policy is given."""
    policy: Policy | None = None
    """Which arm answers which event, in the form of docs/ab.md; in a variable, as JSON."""
    policy_file: str = ""
    """The same in a YAML file; `usage-map` is one that comes with the sidecar."""
    keep_answers: Literal["compared", "all"] = "compared"
    """Which answers of arms are kept for comparison: those about events while more than one arm may
    be asked, or all."""
    keep_events: int = Field(default=200_000, ge=0)
    """Compared events to keep; the oldest go first, those that somebody labelled never."""
    keep_days: float = Field(default=90.0, gt=0)
    """How long to keep them."""
    gate: GateSettings = GateSettings()

    @model_validator(mode="after")
    def _one_policy(self) -> Self:
        if self.policy is not None and self.policy_file:
            raise ValueError("give either `policy` or `policy_file`")
        return self


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


class ElasticSinkSettings(_Section):
    """Verdicts as documents in Elasticsearch, where VSS's dashboards and agents read them."""

    hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """URLs such as `http://elasticsearch:9200`, separated by commas; when one is away the next is
    asked. Empty: off. Keep credentials out of them, in the settings below."""
    incidents_index: str = Field(default="mdx-vlm-incidents", min_length=1)
    """Start of the daily indices of incidents; `-YYYY-MM-DD` follows."""
    alerts_index: str = Field(default="mdx-vlm-alerts", min_length=1)
    """Start of the daily indices of alerts."""
    api_key: SecretStr = SecretStr("")
    """Encoded API key; wins over a user's name and password."""
    username: str = Field(default="", pattern="^[^:]*$")
    """User of basic authentication; empty: none."""
    password: SecretStr = SecretStr("")
    """Password of that user."""
    ca_certs: Path | None = None
    """PEM file of the authority that signed the servers' certificates; None: the system's."""
    verify_certs: bool = True
    """Refuse servers whose certificate is not signed by a known authority (VSS: false)."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Time for one request (VSS: 10)."""


class KafkaSinkSettings(_Section):
    """Verdicts as NvSchema protobuf in Kafka."""

    bootstrap_servers: str = ""
    """Such as `kafka:29092`, several separated by commas; empty: off."""
    incidents_topic: str = Field(default="mdx-vlm-incidents", min_length=1)
    """Topic of incidents."""
    alerts_topic: str = Field(default="mdx-vlm-alerts", min_length=1)
    """Topic of alerts."""
    key_field: str = "id"
    """Dotted path to the message key in the document. An event without it is keyed by its
    `incidentId`, else by its `Id`."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Time for the brokers to confirm one verdict; then its delivery counts as failed."""
    options: dict[str, SecretStr] = Field(default={})
    """Further properties of librdkafka, such as `security.protocol` and `sasl.password`."""


class StreamsSinkSettings(_Section):
    """Verdicts as entries of Redis Streams."""

    url: SecretStr = SecretStr("")
    """Such as `redis://:password@redis:6379/0` or `rediss://...`; empty: off."""
    incidents_stream: str = Field(default="mdx-vlm-incidents", min_length=1)
    """Stream of incidents."""
    alerts_stream: str = Field(default="mdx-vlm-alerts", min_length=1)
    """Stream of alerts."""
    envelope: Literal["value", "data"] = "value"
    """Fields of an entry: `value` writes `key`, `value` and `headers` as VSS 3 does; `data` writes
    `data` (JSON), `timestamp` and `metadata` as VSS 2.4 and RT-VLM do."""
    payload: Literal["protobuf", "json"] = "protobuf"
    """Form of the field `value`."""
    key_field: str = ""
    """Dotted path to the entry's key in the document; events without it go by their sensor."""
    max_length: int = Field(default=0, ge=0)
    """Entries that a stream keeps, roughly; older ones are dropped, read or not. 0 keeps all."""
    remember_s: int = Field(default=3600, ge=1)
    """How long Redis remembers that a verdict was written, so that a repeated delivery writes no
    second entry. Costs it about 150 bytes for each verdict of that time."""
    timeout_s: float = Field(default=5.0, ge=0.1)
    """Time for one exchange (VSS: 5)."""

    @model_validator(mode="after")
    def _streams(self) -> Self:
        _check_distinct(incidents_stream=self.incidents_stream, alerts_stream=self.alerts_stream)
        return self


class SinkSettings(_Section):
    """Where verdicts go besides the API."""

    console: ConsoleSinkSettings = ConsoleSinkSettings()
    """Standard output."""
    webhook: WebhookSinkSettings = WebhookSinkSettings()
    """An HTTP receiver."""
    elastic: ElasticSinkSettings = ElasticSinkSettings()
    """Elasticsearch."""
    kafka: KafkaSinkSettings = KafkaSinkSettings()
    """Kafka."""
    streams: StreamsSinkSettings = StreamsSinkSettings()
    """Redis Streams."""
    max_attempts: int = Field(default=12, ge=1)
    """Deliveries of one verdict to one sink before it becomes a dead letter."""
    backoff_s: float = Field(default=0.5, gt=0)
    """Wait before the second delivery; doubles each time, with jitter."""
    backoff_max_s: float = Field(default=300.0, gt=0)
    """Longest wait between two deliveries."""


class ConsolidationSettings(_Section):
    """How `GET /api/v1/realtime/incidents?consolidate=true` folds RT-VLM's chunks into events."""

    max_gap_s: int = Field(default=60, ge=1, le=3600)
    """Seconds between two chunks of one event, at most."""
    max_duration_s: int | None = Field(default=300, ge=1, le=3600)
    """Length of an event, at most; None does not limit it."""
    representative: Literal["latest", "longest_reasoning"] = "latest"
    """The chunk that an event shows."""


class RealtimeSettings(_Section):
    """Rules for live streams, which RT-VLM looks at by itself (VSS's `rtvi_vlm`)."""

    base_url: str = ""
    """RT-VLM including `/v1`, such as `http://rtvi-vlm:8000/v1`; empty: off."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Time for one request."""
    default_model: str = "nim_nvidia_cosmos3-nano-reasoner_bf16-final"
    """Model of rules that name none; empty: they have to."""
    captions_ack_s: float = Field(default=2.0, ge=0)
    """How long RT-VLM may take to refuse a rule; silence is consent."""
    readiness_wait_s: float = Field(default=2.0, ge=0)
    """How long a new stream is watched before its rule counts as created."""
    health_every_s: float = Field(default=30.0, gt=0)
    """How often to look whether RT-VLM still works on every rule; it is given again what it lost,
    as after its restart. VSS waits for `POST /api/v1/realtime/replay`."""
    pending_ttl_s: float = Field(default=300.0, gt=0)
    """A rule that was never confirmed for so long is given to RT-VLM again."""
    always_on: bool = False
    """Start the rules of `always_on_rules` for every camera that starts streaming."""
    always_on_rules: Path | None = None
    """VSS's `realtime-config.yaml`."""
    consolidation: ConsolidationSettings = ConsolidationSettings()
    """How incidents are folded into events."""


class ReviewSettings(_Section):
    """The Event Reviewer API of VSS 2.4, which answers within the request."""

    media_base_dir: Path | None = None
    """Folder that relative paths of requests start from and whose files may be read, besides those
    of `media.allowed_roots` (VSS: ALERT_REVIEW_MEDIA_BASE_DIR)."""
    default_system_prompt: str = Field(
        default="You are a helpful assistant. Answer the user's question.",
        min_length=1,
        max_length=5000,
    )
    """System prompt of requests without their own (VSS: ALERT_REVIEW_DEFAULT_VLM_SYSTEM_PROMPT)."""
    compat: Literal["", "2.4"] = ""
    """`2.4` answers as 2.4 does: a review whose model failed is SUCCESS with a false verdict, and
    one "yes" or "true" anywhere in an answer confirms. Empty: a failure is FAILURE, and answers are
    read as those about events."""
    max_in_flight: int = Field(default=8, ge=1, le=4096)
    """Chunks that are looked at at the same time."""
    max_waiting: int = Field(default=2048, ge=0)
    """Requests at the same time beyond which further ones are refused with 503 (VSS: none)."""
    deadline_s: float = Field(default=240.0, gt=0)
    """Time for one request (the 2.4 bridge gives up after 240)."""
    files_dir: Path = Path("sidecar-data/files")
    """Folder of uploaded files; it is made when the first one comes."""
    max_files_bytes: int = Field(default=10_737_418_240, ge=0)
    """Uploaded files together; further ones are refused with 503."""


class CanarySettings(_Section):
    """A verification of a built-in clip by the primary arm, which `/ready` waits for."""

    enabled: bool = True
    """Verify it at the start, until that succeeds, and again and again (VSS: at the start)."""
    interval_s: float = Field(default=60.0, gt=0)
    """Time between two verifications; it waits for a pause in the work up to as long again."""
    retry_s: float = Field(default=10.0, gt=0)
    """Time to the next one after a failure (VSS's warm-up: 10)."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Time for one verification (VSS's warm-up: 120)."""
    failures: int = Field(default=2, ge=1)
    """The service is not ready after so many failures in a row; one success makes it ready."""


class OpenAiSettings(_Section):
    """The OpenAI face: `/v1/chat/completions` by the arm in force."""

    mode: Literal["pass", "verdict"] = "pass"
    """What requests get whose model id ends neither in `:pass` nor in `:verdict`: the model's own
    text, or a verdict as VSS's strict parsers read it."""
    no_verdict: Literal["error", "text"] = "error"
    """In mode `verdict`, an answer without a verdict becomes an error with status 422, or a text
    that no parser takes for a verdict."""
    max_in_flight: int = Field(default=64, ge=1, le=4096)
    """Chats at the same time; more are refused with 429. Events have their own limit."""
    max_body_bytes: int = Field(default=67_108_864, ge=1024)
    """Larger bodies are refused with 413; media in base64 are a third larger than their files."""


class TraceSettings(_Section):
    """Traces by OpenTelemetry; needs the extra `otel`."""

    endpoint: str = ""
    """Where to send them by OTLP over HTTP, such as `http://otel-collector:4318` (VSS:
    OTEL_EXPORTER_OTLP_ENDPOINT); empty: off."""
    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of the events that are traced, unless their sender says so in `traceparent` (VSS:
    `alert_agent.tracing.sampling_ratio`)."""
    service_name: str = Field(default="vss-vlm-sidecar", min_length=1)
    """Name of the service in the traces (VSS: OTEL_SERVICE_NAME)."""


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
    grpc: RpcSettings = RpcSettings()
    security: SecuritySettings = SecuritySettings()
    metrics: MetricsSettings = MetricsSettings()
    ledger: LedgerSettings = LedgerSettings()
    verify: VerifySettings = VerifySettings()
    density: DensitySettings = DensitySettings()
    scheduling: SchedulingSettings = SchedulingSettings()
    media: MediaSettings = MediaSettings()
    frames: FrameSettings = FrameSettings()
    trials: TrialSettings = TrialSettings()
    vst: VstSettings = VstSettings()
    kafka: KafkaSettings = KafkaSettings()
    streams: StreamsSettings = StreamsSettings()
    bridge: BridgeSettings = BridgeSettings()
    websocket: WebSocketSettings = WebSocketSettings()
    filters: FilterSettings = FilterSettings()
    prompts: PromptSettings = PromptSettings()
    answers: AnswerSettings = AnswerSettings()
    ab: AbSettings = AbSettings()
    arms: Annotated[dict[str, ArmSettings], BeforeValidator(_merge_arms)] = Field(
        default_factory=dict
    )
    adapters: Annotated[dict[str, str], BeforeValidator(_merge_adapters)] = Field(
        default_factory=dict
    )
    sinks: SinkSettings = SinkSettings()
    realtime: RealtimeSettings = RealtimeSettings()
    review: ReviewSettings = ReviewSettings()
    canary: CanarySettings = CanarySettings()
    openai: OpenAiSettings = OpenAiSettings()
    trace: TraceSettings = TraceSettings()
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


def load_settings(lowest: Mapping[str, Any] | None = None, /, **overrides: Any) -> Settings:
    """Read the settings.

    Args:
        lowest: sections, nested, that only win over the defaults.
        overrides: whole sections that win over every other source.

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
        return (_ranked(lowest) if lowest else Settings)(**overrides)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"Cannot read {os.environ.get(FILE_VARIABLE)}: {error}") from None


def describe_settings(
    settings: Settings, lowest: Mapping[str, Mapping[str, Any]] | None = None
) -> Sequence[Setting]:
    """List every leaf with its value and origin, in the order of the tree.

    Args:
        settings: in force.
        lowest: sources that only won over the defaults, by the names to show for them.
    """
    sources = {
        "environment": EnvSettingsSource(Settings)(),
        "file": _file_source(Settings)(),
        **(lowest or {}),
    }
    return [
        Setting(".".join(path), value, _origin(path, sources), meaning)
        for path, value, meaning in _leaves(settings, ())
    ]


def _ranked(lowest: Mapping[str, Any]) -> type[Settings]:
    """Return the tree with one more source, below all others."""

    class RankedSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            others = super().settings_customise_sources(
                settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
            )
            return (*others, InitSettingsSource(settings_cls, dict(lowest)))

    return RankedSettings


def _file_source(settings_cls: type[BaseSettings]) -> YamlConfigSettingsSource:
    name = os.environ.get(FILE_VARIABLE)
    if name and not Path(name).is_file():
        raise SettingsError(f"{FILE_VARIABLE} names {name}, which is not a file.")
    return YamlConfigSettingsSource(settings_cls, yaml_file=name or None)


def _unknown_variables() -> list[str]:
    """Find variables with our prefix whose first part is no section (pydantic checks the rest)."""
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | {
        FILE_VARIABLE,
        VSS_CONFIG_VARIABLE,
        API_KEY_VARIABLE,
    }
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
        children = value.items() if isinstance(value, dict) and value else [("", value)]
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
