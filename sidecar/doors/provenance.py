"""The route that tells where a verdict comes from."""

from dataclasses import fields
from typing import Any

from fastapi import APIRouter, Response

from sidecar.contract.provenance import ProvenanceResponse, write_provenance
from sidecar.contract.verdict import ErrorResponse
from sidecar.core.provenance import Provenances


def add_provenance_route(router: APIRouter, provenances: Provenances) -> None:
    """Add the route to those below `/api/v1`."""
    missing: dict[int | str, dict[str, Any]] = {404: {"model": ErrorResponse}}

    @router.get(
        "/verdicts/{identity:path}/provenance",
        response_model=ProvenanceResponse,
        responses=missing,
        tags=["verdicts"],
    )
    async def read_provenance(identity: str) -> Response:
        """Tell what is known of a verdict beside its document: prompt, stages, answers, labels."""
        found = await provenances.of(identity)
        shown = write_provenance(**{it.name: getattr(found, it.name) for it in fields(found)})
        return Response(shown.model_dump_json(by_alias=True), media_type="application/json")
