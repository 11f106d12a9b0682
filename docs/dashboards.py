"""Grafana's dashboards as code: tables of panels, of which Grafana's library makes the JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)

FOLDER: Final = Path(__file__).parents[1] / "compose" / "grafana" / "dashboards"
_WIDTH: Final = 24
_HEIGHT: Final = 7


@dataclass(frozen=True)
class Line:
    """One query of a panel; `legend` is Grafana's template over its labels."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture."""

    title: str
    meaning: str
    unit: str
    lines: Sequence[Line]
    is_number: bool = False


@dataclass(frozen=True)
class Row:
    """Panels beside each other."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    rows: Sequence[Row]


def _rate(name: str, by: str, legend: str) -> Line:
    return Line(f"sum by ({by}) (rate({name}[$__rate_interval]))", legend)


def _quantiles(name: str, by: str = "") -> list[Line]:
    """Return median, 90 and 99 of 100 of a histogram."""
    keys = f"le, {by}" if by else "le"
    label = f" {{{{{by}}}}}" if by else ""
    return [
        Line(
            f"histogram_quantile({q}, sum by ({keys}) (rate({name}_bucket[$__rate_interval])))",
            f"p{round(q * 100)}{label}",
        )
        for q in (0.5, 0.9, 0.99)
    ]


OVERVIEW: Final = Board(
    "vlm-sidecar",
    "VLM sidecar",
    (
        Row(
            "Now",
            (
                Panel(
                    "Events waiting",
                    "Accepted and undecided. Grows when more comes in than the model decides.",
                    "short",
                    (Line("sum(sidecar_backlog_events)"),),
                    is_number=True,
                ),
                Panel(
                    "Being verified",
                    "At its places, the model is the limit; they follow what servers turn into "
                    "throughput.",
                    "short",
                    (Line("sum(sidecar_in_flight_events)"),),
                    is_number=True,
                ),
                Panel(
                    "Verdicts a minute",
                    "Events that ended, with a verdict or without.",
                    "short",
                    (Line("60 * sum(rate(alert_bridge_events_total[$__rate_interval]))"),),
                    is_number=True,
                ),
                Panel(
                    "Without a verdict",
                    "Share of the events that ended as verification-failed.",
                    "percentunit",
                    (
                        Line(
                            'sum(rate(alert_bridge_events_total{verdict="verification-failed"}'
                            "[$__rate_interval])) / sum(rate(alert_bridge_events_total"
                            "[$__rate_interval]))"
                        ),
                    ),
                    is_number=True,
                ),
            ),
        ),
        Row(
            "Events",
            (
                Panel(
                    "In and out",
                    "Taken for verification, and ended by verdict.",
                    "ops",
                    (
                        Line(
                            "sum(rate(alert_bridge_events_after_dedup_total[$__rate_interval]))",
                            "taken",
                        ),
                        _rate("alert_bridge_events_total", "verdict", "{{verdict}}"),
                    ),
                ),
                Panel(
                    "Not verified again",
                    "Dropped by VSS's filters, and skipped because they were confirmed before.",
                    "ops",
                    (
                        _rate("alert_bridge_events_dropped_total", "reason", "{{reason}}"),
                        Line(
                            "sum(rate(alert_bridge_events_skipped_confirmed_total"
                            "[$__rate_interval]))",
                            "confirmed before",
                        ),
                    ),
                ),
                Panel(
                    "Why there is no verdict",
                    "Reasons as in info.sidecarReason, in VSS's grouping.",
                    "ops",
                    (_rate("alert_bridge_verification_failures_total", "reason", "{{reason}}"),),
                ),
            ),
        ),
        Row(
            "Time",
            (
                Panel(
                    "From being taken up to the verdict",
                    "Waiting in the backlog is not in it.",
                    "s",
                    _quantiles("alert_bridge_worker_processing_seconds"),
                ),
                Panel(
                    "In line for a place",
                    "From standing in line to the work; the line is by sensor and deadline.",
                    "s",
                    _quantiles("alert_bridge_worker_queue_wait_duration_seconds"),
                ),
                Panel(
                    "One request to a model's server",
                    "By arm. Close to the whole time above: the model is the limit.",
                    "s",
                    _quantiles("alert_bridge_vlm_duration_seconds", "arm"),
                ),
                Panel(
                    "From a record's publication to its reading",
                    "By broker. Grows when the doors are paused or the group lags.",
                    "s",
                    _quantiles("alert_bridge_kafka_lag_duration_seconds", "source"),
                ),
            ),
        ),
        Row(
            "Load",
            (
                Panel(
                    "Waiting and being verified",
                    "A backlog that only grows does not come down by itself.",
                    "short",
                    (
                        Line("sum(sidecar_backlog_events)", "waiting"),
                        Line("sum(sidecar_queued_events)", "of these in line"),
                        Line("sum(sidecar_in_flight_events)", "being verified"),
                        Line("sum(sidecar_places)", "places"),
                    ),
                ),
                Panel(
                    "Failed requests to models",
                    "By arm; each may be repeated before its event fails.",
                    "ops",
                    (_rate("sidecar_vlm_errors_total", "arm", "{{arm}}"),),
                ),
                Panel(
                    "Deliveries to sinks",
                    "A failed one is repeated until it becomes a dead letter.",
                    "ops",
                    (_rate("sidecar_deliveries_total", "sink, result", "{{sink}} {{result}}"),),
                ),
            ),
        ),
        Row(
            "Callers",
            (
                Panel(
                    "Not let in",
                    "By door: no key, no right to do it, or too often.",
                    "ops",
                    (_rate("sidecar_access_refused_total", "door, reason", "{{door}} {{reason}}"),),
                ),
                Panel(
                    "WebSocket clients",
                    "Connected, and closed because there were too many or they were too slow.",
                    "short",
                    (
                        Line("sum(sidecar_websocket_clients)", "connected"),
                        _rate("sidecar_websocket_refused_total", "reason", "{{reason}}"),
                    ),
                ),
            ),
        ),
        Row(
            "Brokers and process",
            (
                Panel(
                    "Records that are no events",
                    "Put aside as dead letters, by reason.",
                    "ops",
                    (
                        _rate(
                            "sidecar_dead_records_total", "source, reason", "{{source}} {{reason}}"
                        ),
                    ),
                ),
                Panel(
                    "Records lost by the broker",
                    "Dropped by its retention before they were read. Must be 0.",
                    "short",
                    (Line("sum by (source) (sidecar_lost_records_total)", "{{source}}"),),
                ),
                Panel(
                    "Memory",
                    "Of the process.",
                    "bytes",
                    (Line("process_resident_memory_bytes", "{{instance}}"),),
                ),
                Panel(
                    "Processor",
                    "Cores in use; decoding clips takes most of it.",
                    "short",
                    (Line("rate(process_cpu_seconds_total[$__rate_interval])", "{{instance}}"),),
                ),
            ),
        ),
    ),
)
ARMS: Final = Board(
    "vlm-sidecar-arms",
    "VLM sidecar: arms",
    (
        Row(
            "Answers",
            (
                Panel(
                    "What arms say",
                    "By outcome and by why they were asked.",
                    "ops",
                    (
                        _rate(
                            "sidecar_ab_answers_total",
                            "arm, role, outcome",
                            "{{arm}} {{role}} {{outcome}}",
                        ),
                    ),
                ),
                Panel(
                    "From asking to the finding",
                    "By arm.",
                    "s",
                    _quantiles("sidecar_ab_answer_seconds", "arm"),
                ),
                Panel(
                    "Shadows that agree",
                    "With the published verdict; none: not both were verdicts.",
                    "ops",
                    (
                        _rate(
                            "sidecar_ab_compared_total", "arm, agreement", "{{arm}} {{agreement}}"
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Choice",
            (
                Panel(
                    "Version in force",
                    "Of the choice of arms. Replicas that differ for long do not hear each other.",
                    "short",
                    (Line("sidecar_ab_choice_version", "{{instance}}"),),
                ),
                Panel(
                    "Promotion: share",
                    "Of the reference's events that the candidate answers.",
                    "percentunit",
                    (Line("sidecar_ab_promotion_share", "{{arm}}"),),
                ),
                Panel(
                    "Promotion: stage",
                    "1 for how far it is; a candidate that was taken back shows rolled-back.",
                    "short",
                    (Line("sidecar_ab_promotion_stage", "{{arm}} {{stage}}"),),
                ),
                Panel(
                    "Arms passed over",
                    "By reason.",
                    "ops",
                    (_rate("sidecar_ab_left_out_total", "arm, reason", "{{arm}} {{reason}}"),),
                ),
                Panel(
                    "Shadows not asked",
                    "By reason; they never delay the answer.",
                    "ops",
                    (_rate("sidecar_ab_shadow_spared_total", "arm, reason", "{{arm}} {{reason}}"),),
                ),
            ),
        ),
        Row(
            "Servers and people",
            (
                Panel(
                    "Requests at each server",
                    "By arm and endpoint.",
                    "short",
                    (
                        Line("sidecar_ab_endpoint_in_flight", "{{arm}} {{endpoint}}"),
                        Line("sidecar_endpoint_limit", "{{arm}} {{endpoint}}: limit"),
                        Line("sidecar_endpoint_waiting", "{{arm}} {{endpoint}}: waiting"),
                    ),
                ),
                Panel(
                    "Servers left out",
                    "1 while a server fails.",
                    "short",
                    (Line("sidecar_ab_endpoint_left_out", "{{arm}} {{endpoint}}"),),
                ),
                Panel(
                    "Labels, and what was not kept",
                    "By people; and events whose answers or pictures could not be kept.",
                    "ops",
                    (
                        Line("sum(rate(sidecar_ab_labels_total[$__rate_interval]))", "labels"),
                        Line(
                            "sum(rate(sidecar_ab_lost_comparisons_total[$__rate_interval]))",
                            "answers lost",
                        ),
                        Line(
                            "sum(rate(sidecar_frames_left_out_total[$__rate_interval]))",
                            "pictures left out",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
REALTIME: Final = Board(
    "vlm-sidecar-realtime",
    "VLM sidecar: live streams",
    (
        Row(
            "Rules",
            (
                Panel(
                    "Rules",
                    "Stored as active, and followed at RT-VLM. They should be the same.",
                    "short",
                    (
                        Line("sum(alert_bridge_realtime_rules_count)", "stored"),
                        Line("sum(alert_bridge_realtime_rules_active)", "followed"),
                    ),
                ),
                Panel(
                    "Changes",
                    "Rules created, stored and deleted.",
                    "ops",
                    (
                        Line(
                            "sum(rate(alert_bridge_realtime_rules_created_total[$__rate_interval]))",
                            "created",
                        ),
                        Line(
                            "sum(rate(alert_bridge_realtime_rules_deleted_total[$__rate_interval]))",
                            "deleted",
                        ),
                    ),
                ),
                Panel(
                    "What stopped a rule",
                    "By stage.",
                    "ops",
                    (_rate("alert_bridge_realtime_rules_failed_total", "stage", "{{stage}}"),),
                ),
            ),
        ),
        Row(
            "RT-VLM",
            (
                Panel(
                    "One call",
                    "By method.",
                    "s",
                    _quantiles("alert_bridge_rtvi_call_duration_seconds", "method"),
                ),
                Panel(
                    "Failed calls",
                    "By method.",
                    "ops",
                    (_rate("alert_bridge_rtvi_call_failures_total", "method", "{{method}}"),),
                ),
                Panel(
                    "Given to it again",
                    "Replays after its restart, by outcome.",
                    "ops",
                    (_rate("alert_bridge_replay_invocations_total", "outcome", "{{outcome}}"),),
                ),
            ),
        ),
        Row(
            "Incidents",
            (
                Panel(
                    "One query",
                    "Of Elasticsearch.",
                    "s",
                    _quantiles("alert_bridge_incident_query_duration_seconds"),
                ),
                Panel(
                    "Chunks and events",
                    "How many chunks were folded into how many events.",
                    "ops",
                    (
                        Line(
                            "sum(rate(alert_bridge_dedup_chunks_in_total[$__rate_interval]))",
                            "chunks",
                        ),
                        Line(
                            "sum(rate(alert_bridge_dedup_events_out_total[$__rate_interval]))",
                            "events",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
REVIEW: Final = Board(
    "vlm-sidecar-review",
    "VLM sidecar: reviews of files",
    (
        Row(
            "Requests",
            (
                Panel(
                    "Requests",
                    "Ended, and under way.",
                    "short",
                    (
                        Line(
                            "sum(rate(video_file_queries_processed_total[$__rate_interval]))",
                            "ended a second",
                        ),
                        Line("sum(video_file_queries_pending)", "under way"),
                    ),
                ),
                Panel("Decoding a chunk", "", "s", _quantiles("decode_latency_seconds")),
                Panel("Asking about a chunk", "", "s", _quantiles("vlm_latency_seconds")),
            ),
        ),
        Row(
            "Tokens of a chunk",
            (
                Panel(
                    "Prompt",
                    "As the server counts them: fewer than usual means fewer frames seen.",
                    "short",
                    _quantiles("vlm_input_tokens_per_chunk"),
                ),
                Panel("Answer", "", "short", _quantiles("vlm_output_tokens_per_chunk")),
            ),
        ),
    ),
)
BOARDS: Final = {
    "overview": OVERVIEW,
    "arms": ARMS,
    "realtime": REALTIME,
    "review": REVIEW,
}


def dashboards() -> dict[Path, str]:
    """Return the JSON of every dashboard, by its path."""
    encoder = JSONEncoder(sort_keys=True, indent=1)
    return {
        FOLDER / f"{name}.json": encoder.encode(_build(board)) + "\n"
        for name, board in BOARDS.items()
    }


def expressions() -> Iterator[str]:
    """Yield every query."""
    for board in BOARDS.values():
        for row in board.rows:
            for panel in row.panels:
                yield from (line.expr for line in panel.lines)


def _build(board: Board) -> object:
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .tags(["vlm-sidecar"])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .readonly()
    )
    number = count(1)
    for row in board.rows:
        built = built.with_row(dashboard.Row(row.title).id(next(number)))
        for panel in row.panels:
            picture = _panel(panel, _WIDTH // len(row.panels)).id(next(number))
            built = built.with_panel(picture)
    return built.build()


def _panel(panel: Panel, span: int) -> stat.Panel | timeseries.Panel:
    built = stat.Panel() if panel.is_number else _curves()
    built = (
        built.title(panel.title)
        .description(panel.meaning)
        .unit(panel.unit)
        .height(4 if panel.is_number else _HEIGHT)
        .span(span)
    )
    for number, line in enumerate(panel.lines):
        query = prometheus.Dataquery().expr(line.expr).ref_id(chr(ord("A") + number))
        built = built.with_target(query.legend_format(line.legend) if line.legend else query)
    return built


def _curves() -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)
    return timeseries.Panel().legend(legend).tooltip(tooltip).fill_opacity(10).min(0)
