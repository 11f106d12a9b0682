"""VSS's API for alert types and their prompts. Every edit is a new version."""

from collections.abc import Collection
from typing import Any, Final

from fastapi import APIRouter

from sidecar.contract.answers import explain_parser
from sidecar.contract.config import (
    AlertConfigListResponse,
    AlertConfigRequest,
    AlertConfigResponse,
    AlertConfigSuccessResponse,
    AlertConfigUpdateRequest,
    apply_update,
    read_request,
    write_list,
    write_response,
)
from sidecar.contract.verdict import ErrorResponse
from sidecar.doors.callers import By
from sidecar.doors.json_body import StrictJsonRoute
from sidecar.errors import InvalidRequest, Issue, NotFound
from sidecar.model import AlertConfig
from sidecar.ports import PromptBook

_MISSING: Final[dict[int | str, dict[str, Any]]] = {404: {"model": ErrorResponse}}
_TAKEN: Final[dict[int | str, dict[str, Any]]] = {409: {"model": ErrorResponse}}


def alert_config_router(
    prompts: PromptBook,
    refusals: dict[int | str, dict[str, Any]],
    parsers: Collection[str] = (),
) -> APIRouter:
    """Build the routes.

    Args:
        prompts: where alert types are kept.
        refusals: what any route may answer besides, for the API's description.
        parsers: names of the custom parsers that an alert type may ask for.
    """
    router = APIRouter(
        prefix="/api/v1/verification/config",
        tags=["alert-verification-config"],
        responses=refusals,
        route_class=StrictJsonRoute,
    )

    async def known(alert_type: str) -> AlertConfig:
        config = await prompts.find(alert_type)
        if config is None:
            raise NotFound(f"Alert config '{alert_type}' not found")
        return config

    @router.get("", response_model_exclude_none=True)
    async def list_configs() -> AlertConfigListResponse:
        """List the alert types."""
        return write_list(await prompts.list())

    @router.post("", status_code=201, responses=_TAKEN, response_model_exclude_none=True)
    async def create_config(request: AlertConfigRequest, by: By) -> AlertConfigResponse:
        """Add an alert type."""
        config = read_request(request)
        require_parser(config, parsers)
        return write_response(await prompts.create(config, by))

    @router.get("/{alert_type}", responses=_MISSING, response_model_exclude_none=True)
    async def read_config(alert_type: str) -> AlertConfigResponse:
        """Read an alert type."""
        return write_response(await known(alert_type))

    @router.put("/{alert_type}", responses=_MISSING, response_model_exclude_none=True)
    async def update_config(
        alert_type: str, update: AlertConfigUpdateRequest, by: By
    ) -> AlertConfigResponse:
        """Change what the body names; the rest stays."""
        changed = apply_update(await known(alert_type), update)
        require_parser(changed, parsers)
        return write_response(await prompts.replace(changed, by))

    @router.delete("/{alert_type}", responses=_MISSING)
    async def delete_config(alert_type: str, by: By) -> AlertConfigSuccessResponse:
        """Retire an alert type. Verdicts that name its versions stay as they are."""
        await prompts.delete(alert_type, by)
        return AlertConfigSuccessResponse(message=f"Config '{alert_type}' deleted")

    return router


def require_parser(config: AlertConfig, parsers: Collection[str]) -> None:
    """Refuse an alert type that asks for a custom parser that is not there.

    Raises:
        InvalidRequest: it does.
    """
    problem = explain_parser(config.rules, parsers) if config.rules else ""
    if problem:
        raise InvalidRequest((Issue("body.answer.response_format", "unknown_parser", problem),))
