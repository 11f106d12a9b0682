"""The media of one event, found and decoded once for all arms that are asked about it."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType

from sidecar.model import Anchor, Clip, Evidence, EvidenceForm, SamplePlan, VerifyEvent
from sidecar.ports import ClipSource, FrameSampler


class Exhibits:
    """Opens clips when they are first needed, and keeps what was made of them.

    For one event loop. Fulfils `ports.FrameSampler` for the clips that it gives.

    Args:
        event: whose media.
        anchor: which part of it to show; None leaves it to the recorder's settings.
        clips: finds the media.
        sampler: decodes them.
        kept: evidence by the plan that it was made for, and the clips that it was made of.
    """

    def __init__(
        self,
        event: VerifyEvent,
        anchor: Anchor | None,
        clips: ClipSource,
        sampler: FrameSampler,
        kept: "Exhibits | None" = None,
    ) -> None:
        self._event = event
        self._anchor = anchor
        self._source = clips
        self._sampler = sampler
        self._evidence = dict(kept.evidence) if kept else {}
        self._seen = dict(kept.seen) if kept else {}
        self._open: dict[bool, Clip] = {}
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._sampling: defaultdict[SamplePlan, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def evidence(self) -> Mapping[SamplePlan, Evidence]:
        """What was shown, by the plan that it was made for."""
        return MappingProxyType(self._evidence)

    @property
    def seen(self) -> Mapping[bool, Clip]:
        """The clips, by whether they were downloaded. Their files may be gone."""
        return MappingProxyType(self._seen)

    def again(self) -> "Exhibits":
        """Return the same for later: what was made is kept, media are opened anew when needed."""
        return Exhibits(self._event, self._anchor, self._source, self._sampler, kept=self)

    async def clip(self, *, download: bool) -> Clip:
        """Return the clip, which is there until `close`, or was there when it was last shown.

        Raises:
            MediaError: there is no usable clip.
        """
        return self._seen.get(download) or await self._opened(download=download)

    async def sample(self, clip: Clip, plan: SamplePlan) -> Evidence:
        """Decode and sample, once for each plan.

        Raises:
            MediaError: the clip cannot be decoded, or is not there any more.
        """
        async with self._sampling[plan]:
            if plan not in self._evidence:
                clip = await self._opened(download=plan.form is not EvidenceForm.URL)
                self._evidence[plan] = await self._sampler.sample(clip, plan)
        return self._evidence[plan]

    async def close(self) -> None:
        """Delete what was downloaded; what was made of it stays."""
        await self._stack.aclose()
        self._open.clear()

    async def _opened(self, *, download: bool) -> Clip:
        async with self._opening:
            if download not in self._open:
                opening = self._source.open(self._event, download=download, anchor=self._anchor)
                clip = await self._stack.enter_async_context(opening)
                self._open[download] = self._seen[download] = clip
        return self._open[download]
