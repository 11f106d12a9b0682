"""Who is signed in, as the operator's page asks it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SignInRequest(BaseModel):
    """Body of `POST /api/v1/session`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(min_length=1, max_length=512)


class SessionResponse(BaseModel):
    """Who asks, and what they may do: `read`, `submit`, `label`, `admin`.

    `name` is "" when nobody is known; then a key has to be shown (`needsKey`). `csrf` goes into the
    header `X-CSRF-Token` of requests that change something; "" without a session.
    `secondsLeft` is null without a session.
    """

    status: Literal["success"] = "success"
    name: str
    scopes: list[str]
    signedIn: bool
    needsKey: bool
    csrf: str = ""
    secondsLeft: int | None = None
    version: str
