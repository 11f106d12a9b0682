"""`POST /generate_vlm_captions` of VSS 2.4's engine, for files (vss_api_models.py)."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field, field_validator

from sidecar.contract.review import BAD_PARAMETER, Chunking, Closed, Decoding
from sidecar.errors import ReviewRefused

_MOST_IDS: Final = 50

Offset = Annotated[int, Field(ge=0, le=4_000_000_000)]


class MediaInfoOffset(Closed):
    """A part of a file, in whole seconds from its start."""

    type: Literal["offset"]
    start_offset: Offset | None = None
    end_offset: Offset | None = None


class MediaInfoTimestamp(Closed):
    """A part of a live stream."""

    type: Literal["timestamp"]
    start_timestamp: str = ""
    end_timestamp: str = ""


class StreamOptions(Closed):
    """What a stream tells besides."""

    include_usage: bool = False


class CaptionsRequest(Chunking, Decoding):
    """Body of `POST /generate_vlm_captions`."""

    id: UUID | list[UUID]
    prompt: str = Field(default="", max_length=5000)
    system_prompt: str = Field(default="", max_length=5000)
    model: str = Field(max_length=1024)
    api_type: str = Field(default="", max_length=32, pattern="^[A-Za-z]*$")
    stream: bool = False
    stream_options: StreamOptions | None = None
    media_info: (
        Annotated[MediaInfoOffset | MediaInfoTimestamp, Field(discriminator="type")] | None
    ) = None
    user: str = Field(default="", max_length=256)
    tools: list[dict[str, Any]] = Field(default=[], max_length=100)
    enable_cv_metadata: bool = False
    cv_pipeline_prompt: str = Field(default="", max_length=1024)

    @field_validator("id")
    @classmethod
    def _limit_ids(cls, value: UUID | list[UUID]) -> UUID | list[UUID]:
        if isinstance(value, list) and not 1 <= len(value) <= _MOST_IDS:
            raise ValueError("The list of ids must have 1 to 50 items")
        return value

    @property
    def ids(self) -> list[str]:
        """The files."""
        return [str(it) for it in (self.id if isinstance(self.id, list) else [self.id])]

    def require_file_options(self) -> None:
        """Check that nothing is asked for that only live streams or a CV pipeline have.

        Raises:
            ReviewRefused: names it.
        """
        self.require_sensible()
        unknown = {
            "tools": bool(self.tools),
            "enable_cv_metadata": self.enable_cv_metadata,
            "media_info.type timestamp": isinstance(self.media_info, MediaInfoTimestamp),
        }
        for name, is_asked in unknown.items():
            if is_asked:
                raise ReviewRefused(400, BAD_PARAMETER, f"{name} is not supported for files.")


class CaptionUsage(Closed):
    """What it took."""

    query_processing_time: int
    total_chunks_processed: int


class ChunkCaption(Closed):
    """What is seen in one chunk; times in seconds as text."""

    start_time: str
    end_time: str
    content: str
    reasoning_description: str = ""


class CaptionsResponse(Closed):
    """Answer of `POST /generate_vlm_captions`, and each event of its stream."""

    id: UUID
    created: int
    model: str
    media_info: MediaInfoOffset
    usage: CaptionUsage | None = None
    chunk_responses: list[ChunkCaption]
