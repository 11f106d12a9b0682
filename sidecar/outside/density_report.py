"""The last run of `sidecar density`, from its report."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from sidecar.core.state import DensityRun
from sidecar.density.summary import Report

_MOST_BYTES: Final = 16 * 2**20


@dataclass(slots=True)
class DensityReport:
    """Reads the report anew when its file changed.

    Attributes:
        path: of `report.json`.
    """

    path: Path
    _known: tuple[float, DensityRun] | None = None

    async def read(self) -> DensityRun | None:
        """Return what the run found; None while there is no report."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> DensityRun | None:
        try:
            stat = self.path.stat()
            if self._known is None or self._known[0] != stat.st_mtime:
                self._known = stat.st_mtime, _load(self.path, stat.st_size)
        except FileNotFoundError:
            return None
        except OSError as error:
            return DensityRun(problem=f"{self.path.name} cannot be read: {error.strerror}.")
        return self._known[1]


def _load(path: Path, size: int) -> DensityRun:
    if size > _MOST_BYTES:
        return DensityRun(problem=f"{path.name} is too large for a report of sidecar density.")
    try:
        report = Report.model_validate_json(path.read_bytes())
    except ValidationError:
        return DensityRun(problem=f"{path.name} is no report of this version of sidecar density.")
    found = report.found[-1] if report.found else None
    last = found.runs[-1] if found and found.runs else None
    return DensityRun(
        scenario=report.scenario.name,
        at=report.created,
        target=found.target if found else "",
        streams=found.streams if found else None,
        planning=found.planning if found else None,
        failed_at=found.failed_at if found else None,
        binding=tuple(found.binding) if found else (),
        offered=last.streams if last else None,
        passed=last.passed if last else None,
        p95_s=last.latency.p95 if last else None,
    )
