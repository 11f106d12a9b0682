"""Events that ask the same at the same time: one is looked at, and the others wait for its answer.

The updates of one incident, or two rules about one scene, may differ in everything but what a model
would be shown and asked. Two events ask the same when the clip, its window, the filled-in prompt
and the arms that the policy names are equal, and the arms answer the same question the same way
(temperature 0). A window that only overlaps shows other frames, whose answer may be another one.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from sidecar.core.choosing import Plan
from sidecar.core.routing import Routing
from sidecar.errors import MediaRoute
from sidecar.model import Prompt, Verdict, VerifyEvent


@dataclass(frozen=True, slots=True)
class Question:
    """What decides an answer.

    Attributes:
        window: sensor, category, media, begin and end, and for a recorder's clip the objects that
            are drawn into it.
    """

    window: tuple[object, ...]
    prompt: Prompt
    plan: Plan

    @classmethod
    def of(cls, event: VerifyEvent, prompt: Prompt, plan: Plan, routing: Routing) -> Self | None:
        """Return what an event asks; None when its answer is nobody else's.

        Args:
            event: that asks.
            prompt: filled in for it.
            plan: the arms that are asked.
            routing: has them.
        """
        names = (*plan.arms, plan.umpire, *plan.fallback)
        warmth = [routing.arms[name].sampling.temperature for name in names if name]
        if any(it != 0 for it in (*warmth, prompt.vlm_params.get("temperature", 0))):
            return None
        drawn = event.object_ids if event.media.route is MediaRoute.RECORDER else ()
        times = (event.timestamp, event.end)
        window = (event.kind, event.sensor_id, event.category, event.media, *times, drawn)
        # whether a shadow looks too is drawn by lot, and changes no answer
        return cls(window, prompt, replace(plan, shadow=""))


@dataclass(slots=True, eq=False)
class Look:
    """Somebody looks.

    Attributes:
        found: the verdict; None when there was none, so that others look for themselves.
    """

    question: Question
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    found: Verdict | None = None

    async def wait(self) -> Verdict | None:
        """Wait for the end, and return the verdict unless it is a failure."""
        await self._over.wait()
        return self.found

    def end(self) -> None:
        """Let those who wait go on."""
        self._over.set()


class SameQuestions:
    """Knows what is being looked at. For one event loop."""

    def __init__(self) -> None:
        self._looks: dict[tuple[object, ...], list[Look]] = {}
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many wait for another's answer."""
        return self._waiting

    async def ask(self, question: Question) -> Verdict | None:
        """Wait for others who ask the same; None when nobody does, or none of them could tell.

        The failure of another is not one's own: whoever waited for it looks for itself, and those
        who waited beside it wait for that.
        """
        while (look := self._find(question)) is not None:
            self._waiting += 1
            try:
                found = await look.wait()
            finally:
                self._waiting -= 1
            if found is not None:
                return found
        return None

    @contextmanager
    def looking(self, question: Question) -> Generator[Look]:
        """Tell others that one looks, while the context lasts."""
        look = Look(question)
        self._looks.setdefault(question.window, []).append(look)
        try:
            yield look
        finally:
            beside = self._looks[question.window]
            beside.remove(look)
            if not beside:
                del self._looks[question.window]
            look.end()

    def _find(self, question: Question) -> Look | None:
        beside = self._looks.get(question.window, ())
        return next((it for it in beside if it.question == question), None)


def adopt(found: Verdict, event: VerifyEvent, prompt: Prompt) -> Verdict:
    """Return another event's verdict as this one's, which says whose it was.

    What the arms said was said about the other one, and is not counted twice; its stages are
    timed by the other one.
    """
    return replace(
        found,
        event=event,
        prompt=prompt,
        heard=(),
        left_out=(),
        stages=(),
        shared_with=found.event.key,
    )
