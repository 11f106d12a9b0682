"""VSS's Alert Bridge at our OpenAI face: what it sends and how strictly it reads, written anew.

From services/alert: vlm/vlm_client.py (requests) and schemas/vlm_responses.py (parsers).
"""

import asyncio
import base64
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any

import openai
import pytest

from sidecar.core.plugins import load_object
from sidecar.errors import AnswerError
from sidecar.model import PLAIN_RULES, ChatReply
from sidecar.settings import DEFAULT_ADAPTERS
from sidecar.testing.media import write_image, write_motion
from sidecar.testing.stub_servers import FLAVOURS, StubServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOLDEN = Path(__file__).parents[1] / "golden"
VERDICTS = {"A", "B", "yes", "no", "YES", "NO", "Yes", "No"}
ARMS = {"reason2": "nvidia/cosmos-reason2-8b", "cosmos3-nano": "nvidia/cosmos3-nano-reasoner"}
CASES = [("cosmos3-nano", "both"), ("cosmos3-nano", "cosmos3"), ("reason2", "reason2")]


class AlertBridge:
    """Asks like `VlmClient` and reads like `auto`.

    Of a video with the shipped options, of pictures as `use_vlm_media_defaults` does: with none.
    """

    def __init__(self, url: str, model: str) -> None:
        self.client = openai.AsyncOpenAI(base_url=url, api_key="not-used", timeout=30.0)
        self.model = model

    async def ask(self, prompt: str, part: dict[str, Any]) -> str | None:
        options: dict[str, Any] = {
            "mm_processor_kwargs": {"size": {"shortest_edge": 1568, "longest_edge": 345_600}},
            "media_io_kwargs": {"video": {"num_frames": 5}},
        }
        reply = await self.client.chat.completions.create(
            model=self.model,
            messages=[
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": [part, {"type": "text", "text": prompt}]},  # type: ignore[list-item, misc]
            ],
            max_tokens=4096,
            temperature=0.6,
            extra_body=options if part["type"] == "video_url" else None,
        )
        return reply.choices[0].message.content

    def read(self, text: str | None) -> str:
        """Parse by `response_format: auto`; ValueError when there is no verdict."""
        name = self.model.lower()
        if not any(it in name for it in ("cosmos-reason1", "cosmos-reason2", "cosmos3")):
            raise ValueError("the parser `other` gives no verdict")
        return read_cosmos_reason(text)


def read_cosmos_reason(content: str | None) -> str:
    text = (content or "").strip()
    both = re.search(r"<think>(.*?)</think>\s*<answer>(.*?)</answer>", text, re.DOTALL)
    if both:
        return checked(both[2].strip().upper())
    if text.startswith("<think>"):
        _, closing, answer = text.partition("</think>")
        if not closing or not answer.strip():
            raise ValueError("nothing behind the thinking")
        return checked(answer.strip().upper())
    return checked(text).upper()


def read_json(content: str | None) -> str:
    text = (content or "").strip()
    if text.startswith("```"):
        text = re.sub(r"^```\w*\n|```$", "", text).strip()
    return checked(str(json.loads(text)["prediction_answer"]).upper())


def checked(verdict: str) -> str:
    if verdict not in VERDICTS:
        raise ValueError(verdict)
    return verdict


def golden(name: str) -> dict[str, dict[str, Any]]:
    answers = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    return {answer["id"]: answer["reply"] for answer in answers}


def meant(arm: str, reply: dict[str, Any]) -> str | None:
    """Tell what an answer says; the golden tests hold the adapters to it."""
    try:
        found = load_object(DEFAULT_ADAPTERS[arm], "").parse_reply(ChatReply(**reply), PLAIN_RULES)
    except AnswerError:
        return None
    return "YES" if found.confirmed else "NO"


def replying(replies: dict[str, dict[str, Any]]) -> Any:
    """Answer a prompt that ends with `#` and a golden answer's number with that answer."""
    numbered = [*replies.values()]

    def reply(text: str) -> dict[str, Any] | None:
        prompt, _, number = text.rpartition("#")
        if not prompt:
            return None
        said = numbered[int(number)]
        message = {"content": said["content"], "reasoning": said["reasoning"]}
        return {"message": message, "finish_reason": said["finish_reason"]}

    return reply


def video_part(folder: Path) -> dict[str, Any]:
    path = write_motion(folder / "clip.mp4", seconds=1, fps=5, width=64, height=64)
    data = base64.b64encode(path.read_bytes()).decode()
    return {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}}


def image_part(folder: Path) -> dict[str, Any]:
    data = base64.b64encode(write_image(folder / "still.png", 64, 64).read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


async def heard(
    bridge: AlertBridge, part: dict[str, Any], question: str, ids: list[str], read: Any
) -> dict[str, str | None]:
    """Ask for each answer, eight at a time; None where the bridge ends without a verdict."""
    slots = asyncio.Semaphore(8)

    async def one(number: int, identity: str) -> str | None:
        async with slots:
            try:
                text = await bridge.ask(f"{question}#{number}", part)
            except openai.UnprocessableEntityError:
                return None
        try:
            return {"A": "YES", "B": "NO"}.get(found := read(text), found)
        except ValueError:
            raise AssertionError(f"{identity}: the bridge cannot read {text!r}") from None

    return dict(zip(ids, await asyncio.gather(*starmap(one, enumerate(ids))), strict=True))


@pytest.mark.parametrize(("arm", "name"), CASES)
async def test_every_golden_verdict_reaches_the_bridge_and_nothing_else_does(
    run_face: Any, model_server: Any, tmp_path: Path, arm: str, name: str
) -> None:
    """A verdict arrives as what it is, through the strict parser; anything else as an error."""
    replies = golden(name)
    server = model_server(replying(replies), ARMS[arm])
    part = image_part(tmp_path) if name == "both" else video_part(tmp_path)
    async with run_face(tmp_path, server, arm=arm) as face:
        bridge = AlertBridge(face.url, f"{ARMS[arm]}:verdict")
        found = await heard(bridge, part, "Is it so? Answer yes or no.", [*replies], bridge.read)
        await bridge.client.close()

    assert {identity: meant(arm, reply) for identity, reply in replies.items()} == found


async def test_golden_verdicts_arrive_as_the_json_that_was_asked_for(
    run_face: Any, model_server: Any, tmp_path: Path
) -> None:
    """The parser `json` with its default field reads the same verdicts."""
    replies = dict([*golden("both").items()][::4]) | golden("cosmos3")
    server = model_server(replying(replies), ARMS["cosmos3-nano"])
    async with run_face(tmp_path, server, arm="cosmos3-nano") as face:
        bridge = AlertBridge(face.url, "sidecar-cosmos3:verdict")
        question = 'Answer in JSON: {"prediction_answer": "YES or NO", "reasoning": "..."}'
        found = await heard(bridge, image_part(tmp_path), question, [*replies], read_json)
        await bridge.client.close()

    assert {identity: meant("cosmos3-nano", reply) for identity, reply in replies.items()} == found


async def test_no_failure_becomes_a_verdict_where_failures_are_texts(
    run_face: Any, model_server: Any, tmp_path: Path
) -> None:
    """With `openai.no_verdict: text` the bridge gets a text that its parser refuses."""
    arm = "cosmos3-nano"
    replies = {
        identity: reply for identity, reply in golden("both").items() if not meant(arm, reply)
    }
    server = model_server(replying(replies), ARMS[arm])
    async with run_face(tmp_path, server, arm=arm, openai={"no_verdict": "text"}) as face:
        bridge = AlertBridge(face.url, f"{ARMS[arm]}:verdict")
        part = image_part(tmp_path)
        asked = (bridge.ask(f"Is it so?#{number}", part) for number in range(40))
        texts = await asyncio.gather(*asked)
        await bridge.client.close()
    for text in texts:
        with pytest.raises(ValueError):  # noqa: PT011 - the bridge's parser raises no other
            read_cosmos_reason(text)

    assert all(text and text.startswith("No verdict (") for text in texts)


@pytest.mark.parametrize("flavour", ["vllm-0.11", "vllm-0.32-parser", "nim", "rt-vlm", "sglang"])
async def test_the_bridges_request_is_refused_by_no_known_server(
    run_face: Any, tmp_path: Path, flavour: str
) -> None:
    """Its options are translated for each kind of server, and the verdict comes back.

    The stubs answer with a sentence, and then to the question between two words with the first.
    """
    server = StubServer(FLAVOURS[flavour])
    url, family = await server.start(), FLAVOURS[flavour].model.lower()
    arm = "reason2" if "reason2" in family else "cosmos3-nano"
    async with run_face(tmp_path, Elsewhere(url), arm=arm) as face:
        await face.client.chat.completions.create(
            model="", messages=[{"role": "user", "content": "Hello"}]
        )
        refused_by_probes = len(server.refusals)
        bridge = AlertBridge(face.url, "sidecar-cosmos3:verdict")
        text = await bridge.ask("Is a person to be seen?", video_part(tmp_path))
        await bridge.client.close()
    await server.close()

    assert "YES" == bridge.read(text)
    assert [] == server.refusals[refused_by_probes:]


@dataclass
class Elsewhere:
    """A server that is running already."""

    url: str

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[str]:
        yield self.url


async def test_the_bridge_finds_the_face_ready_and_its_name_among_the_models(face: Any) -> None:
    """Its warm-up polls `/v1/health/ready`, and every advertised id chooses its Cosmos parser."""
    ids = [model.id async for model in face.client.models.list()]
    ready = await face.client.get("/health/ready", cast_to=object)

    assert ["nvidia/cosmos-reason2-8b", "sidecar-cosmos3"] == [it for it in ids if ":" not in it]
    assert {"VERDICT"} == {AlertBridgeParser(it) for it in ids}
    assert "ready" == ready["status"]


def AlertBridgeParser(model: str) -> str:  # noqa: N802 - named as what it stands for
    try:
        AlertBridge("http://127.0.0.1:1/v1", model).read("yes")
    except ValueError:
        return "OTHER"
    return "VERDICT"
