"""Every adapter at every kind of server: probed, shown a real clip, asked, and read."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conformance.kit import ask, rule

from sidecar.contract.openai import reply_from_completion
from sidecar.core.evidence import fit_plan
from sidecar.dialect import FrameControl, ServerDialect
from sidecar.model import (
    AnswerForm,
    AnswerRules,
    AnswerShape,
    ChatReply,
    ChatRequest,
    Clip,
    Evidence,
    EvidenceForm,
    MediaType,
    Note,
    SamplePlan,
    Sampling,
)
from sidecar.outside.frames import PyavSampler
from sidecar.outside.probe import probe_dialect
from sidecar.settings import MediaSettings
from sidecar.testing.media import moving_square, write_video
from sidecar.testing.stub_servers import FLAVOURS, StubServer

EACH_FLAVOUR = pytest.mark.parametrize("flavour", FLAVOURS)
SIDE = 256
PLAN = SamplePlan(EvidenceForm.VIDEO, fps=2.0, max_frames=20, max_pixels=20 * SIDE * SIDE)
FREE = Sampling()
VERDICT = AnswerRules()
WORDS = ("yes", "no")
_dialects: dict[str, ServerDialect] = {}
_exchanges: dict[tuple[str, str], Mapping[str, "Exchange"]] = {}
_evidence: dict[tuple[SamplePlan, MediaType], Evidence] = {}


@dataclass(frozen=True)
class Case:
    """What a user may want."""

    media: MediaType = MediaType.VIDEO
    plan: SamplePlan = PLAN
    sampling: Sampling = FREE
    rules: AnswerRules = VERDICT


THINKING = Sampling(reasoning=True, seed=0)
CHOICE = Sampling(answer=AnswerForm.CHOICE, max_tokens=1, seed=0)
CASES = {
    "clip": Case(),
    "faster clip": Case(plan=replace(PLAN, fps=4.0)),
    "frames": Case(plan=replace(PLAN, form=EvidenceForm.FRAMES)),
    "pictures": Case(MediaType.IMAGE),
    "choice": Case(sampling=CHOICE),
    "choice about a faster clip": Case(plan=replace(PLAN, fps=4.0), sampling=CHOICE),
    "reasoning": Case(sampling=THINKING),
    "reasoned choice": Case(sampling=replace(CHOICE, reasoning=True)),
    "abstaining": Case(sampling=CHOICE, rules=AnswerRules(abstain=(0.4, 0.6))),
    "abstaining after thought": Case(rules=AnswerRules(abstain=(0.4, 0.6), perspectives=("a",))),
    **{
        f"{shape} as choice": Case(sampling=CHOICE, rules=AnswerRules(shape=shape))
        for shape in AnswerShape
        if shape is not AnswerShape.VERDICT
    },
}


@dataclass(frozen=True)
class Exchange:
    """One request and what became of it."""

    case: Case
    dialect: ServerDialect
    request: ChatRequest
    status: int
    answer: Mapping[str, Any]

    @property
    def reply(self) -> ChatReply:
        return reply_from_completion(self.answer)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Mapping[MediaType, Clip]:
    """Six seconds of a moving square, and three pictures of it."""
    import cv2

    folder: Path = tmp_path_factory.mktemp("conformance")
    pictures = moving_square(60, SIDE, SIDE)
    video = write_video(folder / "clip.mp4", pictures, fps=10.0)
    paths = [folder / f"{i}.jpg" for i in range(3)]
    for path, picture in zip(paths, pictures, strict=False):
        cv2.imwrite(str(path), picture)
    return {
        MediaType.VIDEO: Clip(MediaType.VIDEO, (video,)),
        MediaType.IMAGE: Clip(MediaType.IMAGE, tuple(paths), total=3),
    }


async def shown(clips, plan, media):
    """Sample a clip, once for each plan."""
    if (plan, media) not in _evidence:
        sampler = PyavSampler(MediaSettings())
        _evidence[plan, media] = await sampler.sample(clips[media], plan)
        await sampler.close()
    return _evidence[plan, media]


async def exchange_all(adapter, flavour, clips):
    """Ask a server of that flavour everything, once for all tests."""
    key = adapter.profile.name, flavour
    if key not in _exchanges:
        stub = StubServer(FLAVOURS[flavour])
        try:
            _exchanges[key] = await ask_everything(adapter, flavour, await stub.start(), clips)
        finally:
            await stub.close()
    return _exchanges[key]


async def ask_everything(adapter, flavour, url, clips):
    if flavour not in _dialects:
        _dialects[flavour] = await probe_dialect(url, "", 10.0)
    async with aiohttp.ClientSession() as session:
        return {
            name: await exchange(adapter, case, _dialects[flavour], clips, session, url)
            for name, case in CASES.items()
        }


async def exchange(adapter, case, dialect, clips, session, url):
    plan = fit_plan(case.plan, dialect, case.media)
    evidence = await shown(clips, plan, case.media)
    question = ask(evidence, case.sampling, rules=case.rules)
    question = replace(question, model=dialect.models[0], dialect=dialect, plan=case.plan)
    request = adapter.build_request(question)
    async with session.post(f"{url}/chat/completions", json=request.body) as response:
        return Exchange(case, dialect, request, response.status, await response.json())


@rule("no-refused-field")
@EACH_FLAVOUR
async def test_no_server_refuses_a_request(adapter, flavour, clips):
    """Neither a field nor a value nor the number of pictures."""
    exchanges = await exchange_all(adapter, flavour, clips)

    refused = {name: it.answer for name, it in exchanges.items() if it.status != 200}
    assert {} == refused


@rule("options-effective-or-noted")
@EACH_FLAVOUR
async def test_nothing_is_ignored_silently(adapter, flavour, clips):
    """What was asked for shows in the answer or in the notes."""
    exchanges = await exchange_all(adapter, flavour, clips)

    ignored = {name: found for name, it in exchanges.items() if (found := silent(adapter, it))}
    assert {} == ignored


@rule("never-do-sample-frames")
@EACH_FLAVOUR
async def test_media_options_go_only_where_they_work(adapter, flavour, clips):
    """And never tell the processor to sample again."""
    exchanges = await exchange_all(adapter, flavour, clips)

    for it in exchanges.values():
        options = {"media_io_kwargs", "mm_processor_kwargs"} & it.request.body.keys()
        assert not options or it.dialect.frames is FrameControl.MEDIA_IO_KWARGS
        assert it.request.body.get("mm_processor_kwargs", {}).get("do_sample_frames") is not True


def silent(adapter, it):
    """Name what was asked for, had no effect and is not in the notes."""
    return [
        name
        for name, is_so in {
            "choice": is_choice_lost(it),
            "content": it.dialect.thinking_switch and not thinks(it) and it.reply.content is None,
            "frames": are_frames_lost(adapter, it),
            "stretch": (it.request.evidence.stretch > 1.0) != noted(it, Note.TIMES_STRETCHED),
            "logprobs": "logprobs" in it.request.body and not it.reply.top_logprobs,
            "abstain": is_band_lost(it),
            "reasoning": thinks(it) and "<think>" not in text_of(it.request),
        }.items()
        if is_so
    ]


def is_choice_lost(it):
    is_wanted = it.case.sampling.answer is AnswerForm.CHOICE
    if not is_wanted or it.case.rules.shape is not AnswerShape.VERDICT:
        return False
    is_bound = (it.reply.content or "").strip('"') in WORDS
    return is_bound is noted(it, Note.NOT_CONSTRAINED)


def is_band_lost(it):
    """Without probabilities the verifier notes it; where the server has them they are asked for."""
    is_wanted = it.case.rules.abstain is not None and it.dialect.logprobs
    return is_wanted and not it.reply.top_logprobs


def are_frames_lost(adapter, it):
    """The stubs count as all models but Edge do, whose frames have grids of their own."""
    facts, evidence = adapter.profile.vision, it.request.evidence
    if facts is None or facts.temporal_patch == 1 or evidence.type is MediaType.IMAGE:
        return False
    is_seen = adapter.frames_seen(it.request, it.reply) == evidence.frames_asked
    return is_seen is noted(it, Note.FEWER_IMAGES)


def noted(it, note):
    return note in it.request.notes


def thinks(it):
    return it.case.sampling.reasoning or bool(it.case.rules.perspectives)


def text_of(request):
    return request.body["messages"][-1]["content"][-1]["text"]
