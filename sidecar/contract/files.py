"""Uploaded files and served models, as the engine of VSS 2.4 lists them (vss_api_models.py)."""

from typing import Final, Literal
from uuid import UUID

from pydantic import Field

from sidecar.contract.review import Closed
from sidecar.model import StoredFile

FILE_NAME: Final = r"^[A-Za-z0-9_.\- ]*$"
CAMERA_ID: Final = r"^(?:camera_(\d+)|video_(\d+)|default)?$"


class FileInfo(Closed):
    """A file."""

    id: UUID
    bytes: int
    filename: str
    purpose: Literal["vision"] = "vision"
    media_type: Literal["video", "image"]
    camera_id: str = ""


class FileList(Closed):
    """All files, oldest first."""

    data: list[FileInfo]
    object: Literal["list"] = "list"


class FileDeleted(Closed):
    """Answer to a deletion."""

    id: UUID
    object: Literal["file"] = "file"
    deleted: bool = True


class ModelInfo(Closed):
    """A model that answers."""

    id: str
    created: int = Field(ge=0)
    object: Literal["model"] = "model"
    owned_by: str
    api_type: str = "internal"


class ModelList(Closed):
    """The models."""

    object: Literal["list"] = "list"
    data: list[ModelInfo] = Field(max_length=5)


def write_file(file: StoredFile) -> FileInfo:
    """Describe a file; `camera_id` is written only when there is one."""
    shown = {"id": file.id, "bytes": file.size, "filename": file.name, "purpose": "vision"}
    camera = {"camera_id": file.camera_id} if file.camera_id else {}
    return FileInfo.model_validate({**shown, "media_type": file.media_type.value, **camera})


def write_models(model: str, created: int) -> ModelList:
    """List the one model that answers."""
    owner = "NVIDIA" if "cosmos" in model.lower() else "Custom"
    return ModelList(data=[ModelInfo(id=model, created=created, owned_by=owner)])
