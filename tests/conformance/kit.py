"""What the conformance tests share: who claims which rule, and questions to ask."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import adapters
from sidecar.core.plugins import load_object
from sidecar.errors import MediaRoute
from sidecar.model import (
    AnswerRules,
    EventKind,
    Evidence,
    EvidenceForm,
    Frame,
    MediaRequest,
    MediaType,
    Origin,
    Prompt,
    Question,
    Sampling,
    VerifyEvent,
)
from sidecar.ports import VlmAdapter
from sidecar.settings import DEFAULT_ADAPTERS

QUALITY: Mapping[str, Any] = yaml.safe_load(
    (Path(adapters.__file__).parent / "quality.yaml").read_text("utf-8")
)
ADAPTERS: Mapping[str, VlmAdapter] = {
    name: load_object(target, "adapters") for name, target in DEFAULT_ADAPTERS.items()
}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIMES = tuple(i / 2 for i in range(8))
PICTURES = Evidence(
    EvidenceForm.FRAMES,
    MediaType.VIDEO,
    frames=tuple(Frame(time, b"jpeg") for time in TIMES),
    timestamps_s=TIMES,
    width=448,
    height=448,
    frames_asked=8,
)
CLIP = replace(PICTURES, form=EvidenceForm.VIDEO, frames=(), video=b"mp4")


def rule(name: str) -> pytest.MarkDecorator:
    """Run a test once for each adapter that claims the rule."""
    claims = [adapter for adapter, claim in QUALITY["adapters"].items() if name in claim["done"]]
    cases = [pytest.param(ADAPTERS[adapter], id=adapter) for adapter in claims]
    return pytest.mark.parametrize("adapter", cases)


def ask(
    evidence: Evidence = CLIP,
    sampling: Sampling | None = None,
    text: str = "Did he fall?",
    category: str = "motion",
    **prompt: Any,
) -> Question:
    """Return a question to a server that nobody has asked what it accepts."""
    event = VerifyEvent(
        key="k",
        id="i",
        fingerprint="f",
        kind=EventKind.INCIDENT,
        origin=Origin.PIPELINE,
        raw={},
        sensor_id="cam",
        category=category,
        timestamp=NOON,
        end=NOON,
        media=MediaRequest(MediaRoute.LOCAL),
    )
    rules = prompt.pop("rules", AnswerRules())
    filled = Prompt(category, text, rules=rules, **prompt)
    return Question(event, filled, evidence, sampling or Sampling(), "the-model")
