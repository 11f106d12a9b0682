"""A mock model with known error rates: what it says about an event is drawn once, by its id.

The event is found in the request by its id, which the alert type's prompt has to name in quotes, as
a filled-in `{id}` stands there.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sidecar.errors import SettingsError
from sidecar.testing.mock_vlm import ScriptedAnswer

_QUOTED: Final = re.compile(r'"([^"\\]+)"')
_MUMBLING: Final = "The clip shows a place with things in it."
"""No verdict can be read from it."""


class PersonalityFile(BaseModel):
    """The JSON of `sidecar mock-vlm --personality`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    truth: dict[str, bool] = Field(min_length=1, description="What happened, by the event's id.")
    sensitivity: float = Field(ge=0, le=1)
    specificity: float = Field(ge=0, le=1)
    unparsable: float = Field(default=0.0, ge=0, le=1)
    seed: int = 0
    prompt_tokens: int = Field(default=1200, ge=0)


@dataclass(frozen=True, slots=True)
class Personality:
    """Answers questions about known events, wrong at known rates.

    Attributes:
        truth: what happened, by the event's id.
        sensitivity: share of true events that it confirms.
        specificity: share of false events that it rejects.
        unparsable: share of events about which it says neither yes nor no.
        seed: another one errs elsewhere.
        prompt_tokens: in `usage`.
    """

    truth: Mapping[str, bool]
    sensitivity: float
    specificity: float
    unparsable: float = 0.0
    seed: int = 0
    prompt_tokens: int = 1200

    def __call__(self, body: Mapping[str, Any]) -> ScriptedAnswer:
        """Answer a chat; yes when it is not about a known event."""
        identity = next((it for it in _quoted(body) if it in self.truth), None)
        if identity is None:
            return ScriptedAnswer("yes", prompt_tokens=self.prompt_tokens)
        mumbles, errs, sureness = self._draws(identity)
        truth = self.truth[identity]
        if mumbles < self.unparsable:
            return ScriptedAnswer(_MUMBLING, prompt_tokens=self.prompt_tokens)
        is_right = errs < (self.sensitivity if truth else self.specificity)
        # a wrong answer is less sure, as of a model whose confidence means something
        confidence = 0.5 + (0.5 if is_right else 0.3) * sureness
        return self._sure(truth if is_right else not truth, confidence)

    def _draws(self, identity: str) -> tuple[float, float, float]:
        digest = hashlib.blake2b(f"{self.seed}:{identity}".encode(), digest_size=24).digest()
        parts = (int.from_bytes(digest[at : at + 8]) / 2**64 for at in (0, 8, 16))
        first, second, third = parts
        return first, second, third

    def _sure(self, says_yes: bool, confidence: float) -> ScriptedAnswer:
        word, other = ("yes", "no") if says_yes else ("no", "yes")
        top = [
            {"token": word, "logprob": math.log(confidence)},
            {"token": other, "logprob": math.log(1.0 - min(confidence, 0.9999))},
        ]
        logprobs = ({**top[0], "top_logprobs": top},)
        return ScriptedAnswer(word, prompt_tokens=self.prompt_tokens, logprobs=logprobs)


def personality_from_json(text: str) -> Personality:
    """Read a personality.

    Raises:
        SettingsError: names what is wrong.
    """
    try:
        read = PersonalityFile.model_validate_json(text)
    except ValidationError as error:
        issues = error.errors(include_url=False, include_input=False)
        found = "; ".join(f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in issues)
        raise SettingsError(f"The personality is wrong. {found}") from None
    return Personality(**dict(read))


def _quoted(body: Mapping[str, Any]) -> Iterator[str]:
    for message in body.get("messages", ()):
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        for part in parts:
            text = part.get("text")
            if isinstance(text, str):
                yield from _QUOTED.findall(text)
