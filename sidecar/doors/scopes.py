"""What each route of HTTP and each call of gRPC needs. The only such table.

What is not listed needs `admin`, and a test fails that names it.
"""

from collections.abc import Mapping
from typing import Final

from sidecar.access import Scope

OPEN: Final = None
"""Everybody may: probes, and what this project publishes anyway."""
_READ, _SUBMIT, _LABEL, _ADMIN = Scope.READ, Scope.SUBMIT, Scope.LABEL, Scope.ADMIN

ROUTES: Final[Mapping[str, Scope | None]] = {
    # probes
    "GET /health": OPEN,
    "GET /ready": OPEN,
    "GET /health/live": OPEN,
    "GET /health/ready": OPEN,
    "GET /v1/health/live": OPEN,
    "GET /v1/health/ready": OPEN,
    "GET /api/v1/alerts/health": OPEN,
    # the description of the API
    "GET /openapi.json": OPEN,
    "GET /docs": OPEN,
    "GET /docs/oauth2-redirect": OPEN,
    "GET /redoc": OPEN,
    # the operator's page, whose files are this project's, and signing in to it
    "GET /ui": OPEN,
    "GET /ui/{page}": OPEN,
    "GET /api/v1/session": OPEN,
    "POST /api/v1/session": OPEN,
    "DELETE /api/v1/session": OPEN,
    # the Alert Bridge
    "POST /api/v1/alerts": _SUBMIT,
    "POST /api/v1/incidents": _SUBMIT,
    "POST /api/v1/verification/ondemand": _SUBMIT,
    "GET /api/v1/verification/config": _READ,
    "POST /api/v1/verification/config": _ADMIN,
    "GET /api/v1/verification/config/{alert_type}": _READ,
    "PUT /api/v1/verification/config/{alert_type}": _ADMIN,
    "DELETE /api/v1/verification/config/{alert_type}": _ADMIN,
    "GET /api/v1/realtime": _READ,
    "POST /api/v1/realtime": _ADMIN,
    "POST /api/v1/realtime/replay": _ADMIN,
    "GET /api/v1/realtime/incidents": _READ,
    "POST /api/v1/realtime/always-on": _SUBMIT,  # a camera's event; a file says what follows
    "GET /api/v1/realtime/{alert_rule_id}": _READ,
    "DELETE /api/v1/realtime/{alert_rule_id}": _ADMIN,
    # ours
    "GET /api/v1/verdicts": _READ,
    "GET /api/v1/verdicts/stream": _READ,
    "GET /api/v1/verdicts/{identity}": _READ,
    "GET /api/v1/verdicts/{identity}/provenance": _READ,
    "GET /api/v1/system": _READ,
    "GET /api/v1/dead-letters": _READ,
    "POST /api/v1/dead-letters/{letter_id}/replay": _ADMIN,
    "GET /api/v1/prompts": _READ,
    "GET /api/v1/prompts/{alert_type}": _READ,
    "GET /api/v1/prompts/{alert_type}/versions": _READ,
    "PUT /api/v1/prompts/{alert_type}": _ADMIN,
    "POST /api/v1/prompts/{alert_type}/rollback": _ADMIN,
    "POST /api/v1/prompts/{alert_type}/try": _LABEL,
    "POST /api/v1/verdicts/{identity}/try": _LABEL,
    "GET /api/v1/verdicts/{identity}/clip": _READ,
    "GET /api/v1/verdicts/{identity}/frames": _READ,
    "GET /api/v1/verdicts/{identity}/frames/{index}": _READ,
    "POST /api/v1/verdicts/replay": _ADMIN,
    "GET /api/v1/audit": _ADMIN,
    "GET /api/v1/arms": _READ,
    "PUT /api/v1/arms": _ADMIN,
    "GET /api/v1/arms/history": _READ,
    "POST /api/v1/arms/explain": _READ,
    "GET /api/v1/verdicts/{identity}/answers": _READ,
    "PUT /api/v1/verdicts/{identity}/label": _LABEL,
    "DELETE /api/v1/verdicts/{identity}/label": _LABEL,
    "GET /api/v1/ab/disagreements": _READ,
    "POST /api/v1/ab/labels": _LABEL,
    "GET /api/v1/ab/events": _READ,
    "GET /api/v1/ab/summary": _READ,
    "GET /api/v1/ab/comparisons": _READ,
    "GET /api/v1/ab/gate": _READ,
    "PUT /api/v1/ab/gate": _ADMIN,
    "DELETE /api/v1/ab/gate": _ADMIN,
    "WEBSOCKET /ws": _READ,
    "WEBSOCKET /ws/alerts": _READ,
    "GET /ws/health": OPEN,
    "GET /metrics": _READ,
    # OpenAI
    "POST /v1/chat/completions": _SUBMIT,
    "GET /v1/models": _READ,
    "GET /v1/models/{identity}": _READ,
    "GET /v1/metadata": _READ,
    # the Event Reviewer
    **{
        f"{method} {prefix}{path}": scope
        for prefix in ("", "/v1")
        for method, path, scope in (
            ("POST", "/reviewAlert", _SUBMIT),
            ("POST", "/generate_vlm_captions", _SUBMIT),
            ("POST", "/files", _SUBMIT),
            ("GET", "/files", _READ),
            ("GET", "/files/{file_id}", _READ),
            ("GET", "/files/{file_id}/content", _READ),
            ("DELETE", "/files/{file_id}", _SUBMIT),  # what its uploader is done with
        )
    },
    "GET /models": _READ,
}
"""By method, or WEBSOCKET, and path, its parameters without their kinds."""

CALLS: Final[Mapping[str, Scope | None]] = {
    "/grpc.health.v1.Health/Check": OPEN,
    "/grpc.health.v1.Health/List": OPEN,
    "/grpc.health.v1.Health/Watch": OPEN,
    "/inference.GRPCInferenceService/ModelReady": OPEN,
    "/inference.GRPCInferenceService/ServerLive": OPEN,
    "/inference.GRPCInferenceService/ServerReady": OPEN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": OPEN,
    "/vlm_sidecar.v1.Verifier/Verify": _SUBMIT,
    "/vlm_sidecar.v1.Verifier/Submit": _SUBMIT,
    "/vlm_sidecar.v1.Verifier/SubmitStream": _SUBMIT,
    "/vlm_sidecar.v1.Verifier/WatchVerdicts": _READ,
    "/vlm_sidecar.v1.Verifier/GetVerdict": _READ,
    "/vlm_sidecar.v1.Verifier/ListArms": _READ,
    "/vlm_sidecar.v1.Verifier/SetArms": _ADMIN,
}
"""By full name of the method."""


def scope_of_route(method: str, path: str) -> Scope | None:
    """Return what a route needs; HEAD is read as GET."""
    return ROUTES.get(f"{'GET' if method == 'HEAD' else method} {path}", _ADMIN)


def scope_of_call(method: str) -> Scope | None:
    """Return what a call of gRPC needs, such as `/package.Service/Method`."""
    return CALLS.get(method, _ADMIN)
