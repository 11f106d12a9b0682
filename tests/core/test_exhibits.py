"""The media of an event are found and decoded once, and again only when they are needed again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from ledger_samples import an_event

from sidecar.core.exhibits import Exhibits
from sidecar.errors import MediaMissing, MediaTruncated
from sidecar.model import (
    Anchor,
    Clip,
    Evidence,
    EvidenceForm,
    MediaType,
    SamplePlan,
    VerifyEvent,
)

PLAN = SamplePlan(EvidenceForm.VIDEO, fps=2.0, max_frames=20, max_pixels=1_000_000)
BY_URL = replace(PLAN, form=EvidenceForm.URL)


@dataclass
class Media:
    """A source of clips and a sampler that count what they do.

    Attributes:
        is_gone: clips cannot be found any more.
        trouble: what the next decoding ends with.
        open_now: clips that are open.
    """

    is_gone: bool = False
    trouble: Exception | None = None
    opened: list[tuple[bool, Anchor | None]] = field(default_factory=list)
    decoded: list[SamplePlan] = field(default_factory=list)
    open_now: int = 0

    @asynccontextmanager
    async def open(
        self, event: VerifyEvent, *, download: bool, anchor: Anchor | None = None
    ) -> AsyncIterator[Clip]:
        del event
        await asyncio.sleep(0)
        if self.is_gone:
            raise MediaMissing("gone")
        self.opened.append((download, anchor))
        self.open_now += 1
        yield Clip(MediaType.VIDEO, source=f"clip {len(self.opened)}")
        self.open_now -= 1

    async def sample(self, clip: Clip, plan: SamplePlan) -> Evidence:
        self.decoded.append(plan)
        await asyncio.sleep(0)
        if self.trouble is not None:
            error, self.trouble = self.trouble, None
            raise error
        return Evidence(plan.form, clip.type, urls=(clip.source,))

    async def ping(self) -> str:
        return ""

    async def close(self) -> None:
        """Nothing to release."""

    def exhibits(self) -> Exhibits:
        return Exhibits(an_event(), Anchor.END, self, self)


async def test_arms_that_ask_at_the_same_time_share_clip_and_evidence() -> None:
    """One download, one decoding for each plan."""
    media = Media()
    shown = media.exhibits()

    async def look(plan: SamplePlan) -> Evidence:
        clip = await shown.clip(download=plan.form is not EvidenceForm.URL)
        return await shown.sample(clip, plan)

    found = await asyncio.gather(*(look(plan) for plan in (PLAN, PLAN, BY_URL, BY_URL)))
    await shown.close()

    assert found[0] is found[1]
    assert [(True, Anchor.END), (False, Anchor.END)] == sorted(media.opened, reverse=True)
    assert 2 == len(media.decoded)
    assert 0 == media.open_now


async def test_what_was_shown_is_there_after_the_clip_is_gone() -> None:
    """A shadow with the same plan needs neither the file nor the decoder."""
    media = Media()
    shown = media.exhibits()
    clip = await shown.clip(download=True)
    first = await shown.sample(clip, PLAN)
    await shown.close()
    media.is_gone = True
    later = shown.again()
    again = await later.sample(await later.clip(download=True), PLAN)
    with pytest.raises(MediaMissing):
        await later.sample(clip, replace(PLAN, fps=4.0))
    await later.close()

    assert first is again
    assert 1 == len(media.decoded)


async def test_another_plan_opens_the_clip_anew() -> None:
    """The evidence is that of the new file."""
    media = Media()
    shown = media.exhibits()
    await shown.sample(await shown.clip(download=True), PLAN)
    await shown.close()
    later = shown.again()
    found = await later.sample(await later.clip(download=True), replace(PLAN, fps=4.0))
    await later.close()

    assert ("clip 2",) == found.urls
    assert 0 == media.open_now


async def test_what_failed_is_tried_again_by_the_next_arm() -> None:
    """A failure is not kept."""
    media = Media(trouble=MediaTruncated("torn"))
    shown = media.exhibits()
    clip = await shown.clip(download=True)
    with pytest.raises(MediaTruncated):
        await shown.sample(clip, PLAN)
    found = await shown.sample(clip, PLAN)
    await shown.close()

    assert EvidenceForm.VIDEO is found.form
    assert (1, 2) == (len(media.opened), len(media.decoded))
