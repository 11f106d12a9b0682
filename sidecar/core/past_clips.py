"""The media of events that were decided, found again as for a verification."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sidecar.core.intake import Intake
from sidecar.core.past import event_of
from sidecar.model import Clip, VerdictRecord, VerifyEvent
from sidecar.ports import ClipSource, PromptBook


@dataclass(frozen=True, slots=True)
class PastClips:
    """Finds the clip of a verdict, through all that guards those of new events.

    Attributes:
        intake: that took the events.
        prompts: tell which part of an event is shown.
        clips: finds media.
    """

    intake: Intake
    prompts: PromptBook
    clips: ClipSource

    @asynccontextmanager
    async def open(self, record: VerdictRecord) -> AsyncGenerator[tuple[VerifyEvent, Clip]]:
        """Give the event and its clip, whose files live until the context ends.

        Raises:
            NotRepeatable: on entering, when the event cannot be made again.
            MediaError: on entering, when there is no usable clip.
        """
        event = event_of(record, self.intake)
        config = await self.prompts.find(event.category)
        anchor = None if config is None else config.segment_anchor
        async with self.clips.open(event, download=True, anchor=anchor) as clip:
            yield event, clip
