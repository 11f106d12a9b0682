"""The motion baseline: no VLM, only OpenCV. Shows that the contract holds without a GPU."""

import re
from dataclasses import dataclass
from typing import Final

from sidecar.errors import EmptyAnswer, UnparsableAnswer, UnsupportedQuestion
from sidecar.model import (
    AnswerRules,
    ChatReply,
    ChatRequest,
    EvidenceForm,
    Finding,
    MediaType,
    ModelProfile,
    Question,
    SamplePlan,
)

_FRAMES: Final = 32
_MIN_FRAMES: Final = 2
_MOTION_WORDS: Final = frozenset({"motion", "movement", "moving", "activity"})
_PRESENCE_WORDS: Final = frozenset({"presence"})
_NEGATIONS: Final = frozenset(
    {"no", "not", "non", "never", "without", "absence", "absent", "lack", "lacking", "missing"}
    | {"loss", "lost", "stop", "stopped", "stopping", "end", "ended", "zero"}
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_OTHER_ARM: Final = (
    "Choose a model arm: set SIDECAR_AB__PRIMARY to reason2 or cosmos3-nano and its URL in "
    "SIDECAR_ARMS__REASON2__URL or SIDECAR_ARMS__COSMOS3_NANO__URL."
)

PROFILE: Final = ModelProfile(
    name="baseline",
    match=("opencv-motion-baseline",),
    plan=SamplePlan(
        EvidenceForm.FRAMES, fps=4.0, max_frames=_FRAMES, max_pixels=_FRAMES * 320 * 180, align=4
    ),
    is_vlm=False,
)


@dataclass(frozen=True, slots=True)
class MotionAdapter:
    """Asks whether something moves. Implements `ports.VlmAdapter`."""

    profile: ModelProfile

    def build_request(self, question: Question) -> ChatRequest:
        """Write the question down; the frames travel as the request's evidence.

        Raises:
            UnsupportedQuestion: the alert is not about motion, or there is no series of frames.
        """
        category, evidence = question.event.category, question.evidence
        asked = asked_for(category)
        if not asked:
            raise UnsupportedQuestion(
                "The baseline arm is not a VLM: it only answers alert types about motion or "
                f"presence, and cannot judge {category!r}. {_OTHER_ARM}"
            )
        if evidence.form is not EvidenceForm.FRAMES:
            raise UnsupportedQuestion(
                f"The baseline arm looks at frames, not at the evidence form `{evidence.form}`. "
                "Remove SIDECAR_ARMS__BASELINE__EVIDENCE."
            )
        if evidence.type is MediaType.IMAGE or len(evidence.frames) < _MIN_FRAMES:
            raise UnsupportedQuestion(
                "The baseline arm compares the frames of a video; a single picture shows no "
                f"motion. {_OTHER_ARM}"
            )
        body = {"model": question.model, "question": asked, "alert_type": category}
        return ChatRequest(body, evidence)

    def frames_seen(self, request: ChatRequest, reply: ChatReply) -> int | None:
        """Return the number of frames: the baseline sees each that it is given."""
        del reply
        return request.evidence.frames_sent

    def parse_reply(self, reply: ChatReply, rules: AnswerRules) -> Finding:
        """Read "yes", "no" or "unknown" and the line after it.

        Raises:
            UnsupportedQuestion: nothing moved, which does not tell whether somebody is there.
            EmptyAnswer, UnparsableAnswer: the reply is not the baseline's.
        """
        del rules  # what the baseline answers does not depend on them
        if not reply.content:
            raise EmptyAnswer
        answer, _, reason = reply.content.partition("\n")
        if answer == "unknown":
            raise UnsupportedQuestion(
                f"{reason} What stands still may be present all the same. {_OTHER_ARM}"
            )
        if answer not in {"yes", "no"}:
            raise UnparsableAnswer(f"the baseline's reply starts with {answer[:20]!r}")
        return Finding(answer == "yes", reasoning=reason)


def asked_for(category: str) -> str:
    """Tell what an alert type's name asks for: "motion", "presence", or "" for anything else.

    `Motion_Detected` and `vehicleMoving` ask for motion; `no-motion` and `emotion` do not.
    """
    words = {word.lower() for word in _WORD.findall(category)}
    if words & _NEGATIONS:
        return ""
    if words & _PRESENCE_WORDS:
        return "presence"
    return "motion" if words & _MOTION_WORDS else ""


ADAPTER: Final = MotionAdapter(PROFILE)
