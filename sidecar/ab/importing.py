"""What an importer makes of a benchmark: recorded events with their truth, and alert types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from sidecar.errors import SettingsError

_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_LENGTH: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Item:
    """One clip with one question about it.

    Attributes:
        truth: None when the benchmark keeps it to itself.
    """

    id: str
    sensor: str
    alert_type: str
    clip: Path
    truth: bool | None


@dataclass(frozen=True, slots=True)
class Imported:
    """A benchmark.

    Attributes:
        prompts: what is asked, by alert type.
        missing: clips that are not there.
    """

    items: Sequence[Item]
    prompts: Mapping[str, str]

    @property
    def missing(self) -> Sequence[Path]:
        """Clips that are not there."""
        return [it.clip for it in self.items if not it.clip.is_file()]

    def write(self, events: Path, alert_types: Path) -> None:
        """Write the events for `sidecar ab replay`, and the alert types for its `--alert-types`.

        Raises:
            SettingsError: a file cannot be written.
        """
        lines = [orjson.dumps(_recorded(it, at)) + b"\n" for at, it in enumerate(self.items)]
        alerts = [
            {"alert_type": name, "prompts": {"user": text}} for name, text in self.prompts.items()
        ]
        document = orjson.dumps({"version": "1.0", "alerts": alerts}, option=orjson.OPT_INDENT_2)
        try:
            events.write_bytes(b"".join(lines))
            alert_types.write_bytes(document + b"\n")
        except OSError as error:
            raise SettingsError(f"Cannot write {error.filename}: {error.strerror}.") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error


def _recorded(item: Item, at: int) -> dict[str, Any]:
    """Build a line; the times are made up, one minute apart, because benchmarks have none."""
    begin = _BEGIN + timedelta(minutes=at)
    event = {
        "id": item.id,
        "sensorId": item.sensor,
        "category": item.alert_type,
        "timestamp": begin.isoformat(),
        "end": (begin + _LENGTH).isoformat(),
        "info": {"video_path": str(item.clip.resolve())},
    }
    return {"event": event, "truth": item.truth, "labeller": "benchmark"}
