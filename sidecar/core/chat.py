"""The use: one chat of an OpenAI client through the arm in force. It is a question, not an event.

It is asked as events are, by `core.asking`, and leaves no trace in the ledger.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sidecar.contract.chat import Chat, ChatMode, FrameWish
from sidecar.contract.completion import ChatAnswer, ChatChoice
from sidecar.contract.strict import refusal_text, verdict_object, verdict_text
from sidecar.core.asking import Asker, begin_verdict, event_of_question
from sidecar.core.choosing import Facts
from sidecar.core.consulting import first_answer
from sidecar.core.routing import Arm, ArmsInForce, Switchboard
from sidecar.core.slots import Slots
from sidecar.dialect import ServerDialect
from sidecar.errors import (
    AnswerError,
    DeadlineExpired,
    MediaRoute,
    NotFound,
    Overloaded,
    UnparsableAnswer,
    VlmError,
    row_of,
)
from sidecar.model import (
    PLAIN_RULES,
    Answer,
    AnswerRules,
    ChatReply,
    ChatRequest,
    Clip,
    EvidenceForm,
    Finding,
    MediaRequest,
    MediaType,
    ModelProfile,
    Prompt,
    Question,
    SamplePlan,
    Verdict,
)
from sidecar.ports import ClipSource, Clock, VlmAdapter

ALIAS: Final = "sidecar-cosmos3"
"""A model id that names whichever arm is in force, and so outlives a change of it. It contains what
VSS's Alert Bridge looks for when it chooses a parser by the model's name."""

_DETECTED: Final = ("cosmos-reason2", "cosmos3")
_MAX_FPS: Final = 60.0
_MAX_FRAMES: Final = 768
_MIN_PIXELS: Final = 4096
_LIST_TIMEOUT_S: Final = 5.0
_CATEGORY: Final = "chat"
"""Alert type by which a policy can tell chats from events."""
_CONSTRAINTS: Final = frozenset({"response_format", "structured_outputs"})
_RT_VLM_TAKES: Final = frozenset({"top_k", "min_tokens", "ignore_eos", "response_format"})
"""Further fields of RT-VLM, which refuses a request with any that it does not know."""


@dataclass(frozen=True, slots=True)
class ExtendedAdapter:
    """An adapter whose requests carry further fields. Implements `ports.VlmAdapter`."""

    adapter: VlmAdapter
    extra: Mapping[str, Any]

    @property
    def profile(self) -> ModelProfile:
        """Facts about the family."""
        return self.adapter.profile

    def build_request(self, question: Question) -> ChatRequest:
        """Write the request; the client's own fields win over the adapter's habits."""
        request = self.adapter.build_request(question)
        bound = _CONSTRAINTS & request.body.keys()
        extra = {k: v for k, v in self.extra.items() if not (bound and k in _CONSTRAINTS)}
        return replace(request, body={**request.body, **extra})

    def frames_seen(self, request: ChatRequest, reply: ChatReply) -> int | None:
        """Tell from the reply how many frames the model saw."""
        return self.adapter.frames_seen(request, reply)

    def parse_reply(self, reply: ChatReply, rules: AnswerRules) -> Finding:
        """Read the answer."""
        return self.adapter.parse_reply(reply, rules)


@dataclass(frozen=True, slots=True)
class Chats:
    """Answers chats; hold one and call it from as many tasks as there are clients.

    Attributes:
        media: opens URLs, files and data URIs.
        slots: places for chats; one that finds none is refused.
        deadline_s: for one chat.
        default_mode: of chats that name none.
        text_for_failure: whether an answer without a verdict becomes a text that is none, and not
            an error.
    """

    switchboard: Switchboard
    asker: Asker
    media: ClipSource
    clock: Clock
    slots: Slots
    deadline_s: float
    default_mode: ChatMode = ChatMode.OWN_TEXT
    text_for_failure: bool = False

    async def models(self) -> Sequence[str]:
        """List the ids that may be asked for; only the alias while the servers are away."""
        routing = self.switchboard.current
        answering = [routing.arms[name] for name in routing.policy.answering]
        told = await asyncio.gather(*(_advertised(arm) for arm in answering))
        served = dict.fromkeys(name for name in told if name)
        modes = ["", *(f":{mode}" for mode in ChatMode)]
        return [f"{name}{mode}" for name in (*served, ALIAS) for mode in modes]

    async def problem(self) -> str:
        """Return "" when the arm in force can answer now, else what is wrong."""
        return await ArmsInForce(self.switchboard).ping()

    @property
    def arm(self) -> str:
        """Name of the leading arm."""
        return self.switchboard.current.lead.name

    async def answer(self, chat: Chat, mode: ChatMode | None = None) -> ChatAnswer:
        """Answer a chat.

        Args:
            chat: the request.
            mode: wins over the default one; the model's suffix wins over both.

        Raises:
            NotFound: there is no such model.
            Overloaded: too many chats are being answered.
            VerificationError: there is no answer, or in mode VERDICT no verdict.
        """
        if not self.slots.take(1):
            raise Overloaded(
                f"{self.slots.taken} chats are being answered already; ask again a little later, "
                "or raise SIDECAR_OPENAI__MAX_IN_FLIGHT."
            )
        deadline = self.clock.monotonic() + self.deadline_s
        name, mode = split_mode(chat.model, mode or self.default_mode)
        try:
            async with asyncio.timeout(self.deadline_s):
                arms = await self._arms(name)
                return await first_answer(
                    arms, partial(self._answer, chat, mode), self.clock, deadline
                )
        except (TimeoutError, DeadlineExpired):
            raise DeadlineExpired(f"No answer within {self.deadline_s:g} s.") from None
        finally:
            self.slots.give_back()

    async def _arms(self, name: str) -> Sequence[Arm]:
        """Return the arm that a client names, or those that the policy would ask in turn.

        Raises:
            NotFound: it names none that answers.
        """
        routing = self.switchboard.current
        if name in {"", ALIAS}:
            # a chat tells no sensor, so each one is dealt out by itself
            facts = Facts(_CATEGORY, "", dealt_by=f"{uuid4()}", identity="")
            return routing.in_turn(facts)
        answering = [routing.arms[it] for it in routing.policy.answering]
        named = [arm for arm in answering if arm.name == name]
        return named or [await self._serving(name, answering)]

    async def _serving(self, name: str, arms: Sequence[Arm]) -> Arm:
        """Find the arm that serves a model."""
        told: list[str] = []
        trouble: VlmError | None = None
        for arm in arms:
            backend = arm.backend if len(arms) == 1 else arm.impatient
            try:
                model = await backend.model()
            except VlmError as error:
                trouble = error
                continue
            shown = advertised(model, arm)
            if name.casefold() in {model.casefold(), shown.casefold()}:
                return arm
            told.append(shown)
        if trouble is not None and not told:
            raise trouble
        names = ", ".join(arm.name for arm in arms)
        raise NotFound(
            f"The model `{name[:200]}` does not exist. The arm in force is {names}, asked for as "
            f"{', '.join(told)} or as {ALIAS}; see GET /v1/models."
        )

    async def _answer(self, chat: Chat, mode: ChatMode, arm: Arm, is_last: bool) -> ChatAnswer:
        del is_last
        dialect = await arm.backend.dialect()
        extra, refused = _taken(chat.extra or {}, dialect)
        plan, adapter = _plan(chat, arm), ExtendedAdapter(arm.adapter, extra)
        # In mode OWN_TEXT the prompt is the client's own: nothing is added to it.
        reasoning = arm.sampling.reasoning and mode is ChatMode.VERDICT
        sampling = replace(arm.sampling, reasoning=reasoning)
        arm = replace(arm, plan=plan, adapter=adapter, sampling=sampling)
        drafts = [self._draft(chat, arm, mode, number) for number in range(chat.count)]
        download = plan.form is not EvidenceForm.URL
        async with self.media.open(drafts[0].event, download=download) as clip:
            asked = [asyncio.ensure_future(self._ask(draft, arm, clip)) for draft in drafts]
            try:
                ended = await asyncio.gather(*asked)
            finally:
                for task in asked:
                    task.cancel()
        dropped = (*chat.dropped, *refused)
        return self._worded(chat, mode, arm, ended, dropped)

    def _draft(self, chat: Chat, arm: Arm, mode: ChatMode, number: int) -> Verdict:
        media = MediaRequest(MediaRoute.DIRECT, chat.media_type, chat.media)
        event = event_of_question(self.clock.now(), _CATEGORY, media)
        params = dict(chat.params or {})
        if "seed" in params:
            params["seed"] += number  # several answers by one seed would be one answer
        prompt = Prompt(_CATEGORY, chat.user, chat.system, vlm_params=params)
        draft = begin_verdict(event, arm, prompt)
        return replace(draft, freestyle=mode is ChatMode.OWN_TEXT)

    async def _ask(self, draft: Verdict, arm: Arm, clip: Clip) -> Verdict:
        """Ask once, and turn a missing verdict into a finished one where that is wanted."""
        assert draft.prompt is not None
        verdict = replace(draft, model=await self.asker.model(arm, draft.prompt))
        try:
            async with aclosing(self.asker.ask(verdict, arm, clip)) as steps:
                async for reached in steps:
                    verdict = reached
            if not verdict.freestyle:
                _require_verdict(verdict)
        except AnswerError as error:
            if not self.text_for_failure or verdict.freestyle:
                raise
            return replace(verdict, error=error)
        return verdict

    def _worded(
        self,
        chat: Chat,
        mode: ChatMode,
        arm: Arm,
        ended: Sequence[Verdict],
        dropped: tuple[str, ...],
    ) -> ChatAnswer:
        answers = [answer for verdict in ended for answer in verdict.answers]
        if mode is ChatMode.OWN_TEXT:
            choices = [_passed(verdict.answers[-1]) for verdict in ended]
        else:
            choices = [ChatChoice(_verdict(chat, arm.adapter, verdict)) for verdict in ended]
        return ChatAnswer(
            arm=arm.name,
            model=ended[-1].model,
            mode=mode,
            choices=tuple(choices),
            prompt_tokens=_total([answer.prompt_tokens for answer in answers]),
            completion_tokens=_total([answer.completion_tokens for answer in answers]),
            notes=tuple(dict.fromkeys(note for verdict in ended for note in verdict.notes)),
            dropped=tuple(dict.fromkeys(dropped)),
        )


async def _advertised(arm: Arm) -> str:
    """Return the id to show for what an arm serves; "" while its server does not tell."""
    try:
        async with asyncio.timeout(_LIST_TIMEOUT_S):
            return advertised(await arm.backend.model(), arm)
    except (VlmError, TimeoutError):
        return ""


def advertised(model: str, arm: Arm) -> str:
    """Return the id to show for a served model: one that VSS takes for a Cosmos model's.

    VSS's Alert Bridge reads verdicts only from models whose names tell it how; this face answers in
    that way whatever the model is.
    """
    if any(fragment in model.lower() for fragment in _DETECTED):
        return model
    family = "cosmos-reason2" if "reason2" in arm.adapter.profile.name else "cosmos3"
    return f"{family}/{model}"


def split_mode(model: str, default: ChatMode) -> tuple[str, ChatMode]:
    """Take a mode's suffix off a model id: `...:verdict`, `...:pass`."""
    name, colon, suffix = model.rpartition(":")
    if colon and suffix in set(ChatMode):
        return name, ChatMode(suffix)
    return model, default


def _taken(
    extra: Mapping[str, Any], dialect: ServerDialect | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Divide further fields into those that the server takes and the names of the others."""
    if dialect is None:
        return {}, tuple(extra)
    if dialect.server != "rt-vlm":
        return dict(extra), ()
    taken = {name: value for name, value in extra.items() if name in _RT_VLM_TAKES}
    return taken, tuple(name for name in extra if name not in taken)


def _plan(chat: Chat, arm: Arm) -> SamplePlan:
    """Choose what to show: pictures that came inline go on as they are, unless made smaller."""
    is_inline = all(url.startswith("data:") for url in chat.media)
    is_picture = chat.media_type is MediaType.IMAGE and not chat.frames.is_sized
    if is_inline and is_picture and arm.adapter.profile.is_vlm:
        return replace(arm.plan, form=EvidenceForm.URL)
    return _wished(arm.plan, chat.frames, max(len(chat.media), 1))


def _wished(plan: SamplePlan, wish: FrameWish, pictures: int) -> SamplePlan:
    """Lay the client's wishes over the arm's plan, within what servers of this line take."""
    fps = wish.fps or (_MAX_FPS if wish.count else plan.fps)
    frames = min(wish.count or plan.max_frames, _MAX_FRAMES)
    pixels = wish.clip_pixels
    if wish.frame_pixels is not None:
        whole = wish.frame_pixels * max(frames, pictures)
        pixels = whole if pixels is None else min(pixels, whole)
    return replace(
        plan,
        fps=min(fps, _MAX_FPS),
        max_frames=frames,
        max_pixels=plan.max_pixels if pixels is None else max(pixels, _MIN_PIXELS),
    )


def _passed(answer: Answer) -> ChatChoice:
    """Give the model's own text; where a parser took all of it for reasoning, it is the answer."""
    finish = answer.finish_reason or "stop"
    if answer.text:
        return ChatChoice(answer.text, answer.reasoning, finish)
    return ChatChoice(answer.reasoning, finish_reason=finish)


def _require_verdict(verdict: Verdict) -> None:
    """Refuse a description, which only a user's own parser can make of an answer here."""
    if verdict.finding is None or verdict.finding.confirmed is None:
        raise UnparsableAnswer("it is a description without a verdict; ask in mode `pass`.")


def _verdict(chat: Chat, adapter: VlmAdapter, verdict: Verdict) -> str:
    if verdict.error is not None:
        return refusal_text(row_of(verdict.error).reason, verdict.error.detail)
    finding = verdict.finding
    assert finding is not None
    if not chat.wants_json:
        return verdict_text(finding)

    def names_verdict(text: str) -> bool:
        try:
            found = adapter.parse_reply(ChatReply(text), replace(PLAIN_RULES, needs_json=True))
        except AnswerError:
            return False
        return found.confirmed is finding.confirmed

    said = verdict.answers[-1].text or verdict.answers[-1].reasoning
    prompt = f"{chat.system}\n{chat.user}"
    return verdict_object(finding, said, prompt, names_verdict, is_strict=chat.is_strict)


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
