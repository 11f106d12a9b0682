"""How the routes that list things are asked for a page."""

from typing import Annotated

from fastapi import Query

from sidecar.model import MAX_SEQ

PageSize = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[int | None, Query(ge=1, le=MAX_SEQ)]
"""What the page before it told as `nextCursor`; None is the first page."""
