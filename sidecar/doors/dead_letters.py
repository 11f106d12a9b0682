"""Routes about deliveries that were given up."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path

from sidecar.contract.dead_letters import (
    DeadLetterListResponse,
    LetterReplayResponse,
    write_dead_letters,
)
from sidecar.contract.verdict import ErrorResponse
from sidecar.doors.callers import By
from sidecar.doors.paging import Cursor, PageSize
from sidecar.errors import NotFound
from sidecar.model import MAX_SEQ
from sidecar.ports import Ledger

_MISSING: Final[dict[int | str, dict[str, Any]]] = {404: {"model": ErrorResponse}}

LetterId = Annotated[int, Path(ge=1, le=MAX_SEQ)]


def add_dead_letter_routes(
    router: APIRouter, ledger: Ledger, to_deliver: Callable[[], None]
) -> None:
    """Add the routes to those below `/api/v1`.

    Args:
        router: of the API.
        ledger: has the dead letters.
        to_deliver: called when there is something to deliver.
    """

    @router.get("/dead-letters", tags=["dead letters"])
    async def list_dead_letters(
        limit: PageSize = 100, cursor: Cursor = None
    ) -> DeadLetterListResponse:
        """List deliveries that were given up, oldest first."""
        entries = await ledger.dead_letters(limit=limit, after=cursor or 0)
        return write_dead_letters(entries, limit)

    @router.post("/dead-letters/{letter_id}/replay", responses=_MISSING, tags=["dead letters"])
    async def replay(
        letter_id: Annotated[int, Path(ge=1, le=MAX_SEQ)], by: By
    ) -> LetterReplayResponse:
        """Deliver one again, with all its attempts."""
        found = await ledger.dead_letters(limit=1, after=letter_id - 1)
        if [letter_id] != [entry.id for entry in found]:
            raise NotFound(f"There is no dead letter {letter_id}; it may be scheduled already.")
        scheduled = await ledger.replay([letter_id], by)
        to_deliver()
        return LetterReplayResponse(scheduled=scheduled)
