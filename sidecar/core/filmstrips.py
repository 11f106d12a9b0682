"""The pictures that a model saw of an event: kept ones, else made again from the clip."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from sidecar.contract.enrich import begin_of_clip
from sidecar.contract.info import info_of, read_whole
from sidecar.core.past import find_verdict
from sidecar.core.past_clips import PastClips
from sidecar.core.routing import Arm, Switchboard
from sidecar.errors import MediaError, MediaGone, NotRepeatable
from sidecar.model import EvidenceForm, KeptFrames, SamplePlan, VerdictRecord
from sidecar.ports import Clock, FrameSampler, FrameStore, Ledger

T = TypeVar("T")

_RECENT: Final = 16
"""Events whose pictures are remembered, for when the store does not keep them."""
_MISSED: Final = 256
_MISS_S: Final = 30.0
"""How long a clip that was not to be had is not asked for again."""


@dataclass(frozen=True, slots=True)
class Filmstrip:
    """What there is to see of a verdict.

    Attributes:
        kept: None when there is nothing.
        is_stored: whether it was kept at the time, or since.
        asked: how many frames the model should see; None when its server sampled the clip.
        seen: how many it is known to have seen; None when its server does not tell.
        reason: why there is nothing; "" otherwise.
    """

    record: VerdictRecord
    kept: KeptFrames | None
    is_stored: bool
    asked: int | None
    seen: int | None
    reason: str = ""


@dataclass(slots=True)
class Filmstrips:
    """Shows what models saw. For one event loop.

    Clips are decoded again one at a time, within a time limit, and what comes of it is kept.

    Attributes:
        most: pictures of one event.
        width: of a picture, in pixels.
        deadline_s: for finding a clip and decoding it, waiting for others included.
    """

    ledger: Ledger
    store: FrameStore
    clips: PastClips
    sampler: FrameSampler
    switchboard: Switchboard
    clock: Clock
    most: int
    width: int
    deadline_s: float = 20.0
    _recent: OrderedDict[str, KeptFrames] = field(default_factory=OrderedDict)
    _missed: OrderedDict[str, tuple[float, str]] = field(default_factory=OrderedDict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def of(self, identity: str, *, decode: bool = True) -> Filmstrip:
        """Return what there is to see of a verdict.

        Args:
            identity: of the verdict.
            decode: whether a clip may be fetched and decoded when nothing is kept.

        Raises:
            NotFound: there is no such verdict.
        """
        record = await find_verdict(self.ledger, identity)
        info = info_of(record.document)
        asked, seen = (read_whole(info.get(f"sidecarFrames{it}")) for it in ("Asked", "Seen"))
        strip = Filmstrip(record, None, False, asked, seen)
        kept = await self.store.find(record.key)
        if kept is not None:
            return replace(strip, kept=kept, is_stored=True)
        kept = self._recent.get(record.key)
        if kept is not None:
            return replace(strip, kept=kept)
        if not decode:
            return replace(strip, reason="No pictures of it are kept.")
        try:
            return replace(strip, kept=await self._again(record))
        except MediaGone as error:
            return replace(strip, reason=error.detail)

    async def picture(
        self, identity: str, index: int, width: int | None, *, decode: bool = True
    ) -> tuple[bytes, Filmstrip]:
        """Return one picture as JPEG, at most so many pixels wide.

        Raises:
            NotFound: there is no such verdict.
            MediaGone: there is no such picture.
        """
        strip = await self.of(identity, decode=decode)
        if strip.kept is None:
            raise MediaGone(strip.reason)
        if index >= len(strip.kept.frames):
            raise MediaGone(f"There are {len(strip.kept.frames)} pictures, from 0 on.")
        jpeg = strip.kept.frames[index].jpeg
        return (jpeg if width is None else await self.store.narrow(jpeg, width)), strip

    async def _again(self, record: VerdictRecord) -> KeptFrames:
        """Decode the clip again; one that was just found to be gone is not looked for.

        Raises:
            MediaGone: it is not to be had.
        """
        missed_at, reason = self._missed.get(record.key, (0.0, ""))
        if reason and self.clock.monotonic() < missed_at + _MISS_S:
            raise MediaGone(reason)
        try:
            async with asyncio.timeout(self.deadline_s), self._turn:
                kept = self._recent.get(record.key) or await self._decode(record)
        except TimeoutError:
            raise MediaGone("The clip was not decoded in time; ask again in a moment.") from None
        except (MediaError, NotRepeatable) as error:
            reason = error.detail or "Its clip is gone."
            _remember(self._missed, record.key, (self.clock.monotonic(), reason), _MISSED)
            raise MediaGone(reason) from error
        _remember(self._recent, record.key, kept, _RECENT)
        return kept

    async def _decode(self, record: VerdictRecord) -> KeptFrames:
        routing = self.switchboard.current
        arm = routing.arms.get(record.arm, routing.lead)
        async with self.clips.open(record) as (event, clip):
            evidence = await self.sampler.sample(clip, self._plan(arm))
        start = begin_of_clip(event, clip)
        return await self.store.keep(record.key, evidence, start, exact=False)

    def _plan(self, arm: Arm) -> SamplePlan:
        """Plan for as many frames as the arm is shown, and make few small ones of them."""
        pixels = self.most * self.width * self.width
        return replace(
            arm.plan,
            form=EvidenceForm.FRAMES,
            max_pixels=min(pixels, arm.plan.max_pixels),
            max_images=self.most,
            written_fps=None,
            align=2,
        )


def _remember(kept: "OrderedDict[str, T]", key: str, value: T, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
