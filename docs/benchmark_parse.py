"""Measure how long reading an answer takes: usual ones, and 100 KB made to be slow.

usage: benchmark_parse.py     (or: benchmark.py parse)
"""

import json
import random
import statistics
import time
from collections.abc import Callable
from contextlib import suppress

from adapters.cosmos3_nano import ADAPTER
from sidecar.errors import AnswerError
from sidecar.model import AnswerRules, ChatReply

REPEATS = 500
HOSTILE_REPEATS = 15
HOSTILE_CHARS = 100_000
RULES = AnswerRules()
VOCABULARY = (
    "the a of in near behind worker forklift pallet rack lane vest helmet yellow line floor door "
    "gate camera moves turns stops walks carries lifts looks steps falls slips reaches bends while "
    "then after before when because slowly quickly left right second first another person vehicle "
    "truck box load shelf aisle wall light shadow hand arm head foot knee tool cable ladder spill "
    "puddle marking corner edge exit stairs railing platform crane hook chain belt machine panel"
)

JAPANESE = (
    "作業員 が フォークリフト の 近く で 転倒 し 床 に 倒れ て います 周囲 他 人 は "
    "いません 赤い 箱 棚 通路"
)


def japanese(size: int) -> str:
    """Write Japanese sentences of about as many bytes, always the same ones."""
    source, words, text = random.Random(size), JAPANESE.split(), ""
    while len(text.encode()) < size:
        text += "".join(source.choices(words, k=12)) + "。"
    return text


def prose(size: int) -> str:
    """Write sentences of as many characters, always the same ones."""
    source, words, text = random.Random(size), VOCABULARY.split(), ""
    while len(text) < size:
        text += " ".join(source.choices(words, k=source.randint(8, 18))) + ". "
    return text[:size].strip()


def usual() -> dict[str, str]:
    """Return answers as they usually come, of 2 KB but for the first."""
    said = {"verdict": True, "severity": "high", "confidence": 0.9}
    said |= {"description": prose(900), "reasoning": prose(1050)}
    return {
        "bare word": "yes",
        "thinking, then prose": f"<think>\n{prose(1000)}\n</think>\n\nYes, {prose(1000)}",
        "prose": f"Yes, {prose(2000)}",
        "prose, Japanese": f"はい、{japanese(2000)}",
        "JSON": json.dumps(said),
        "JSON, fenced": f"```json\n{json.dumps(said, indent=2)}\n```",
    }


def hostile() -> dict[str, str]:
    """Return answers of 100 KB that are made to be slow."""
    repeated = [
        *(
            "{",
            '{"a"',
            '{"a":',
            '{"a":1} ',
            "[{]",
            "<",
            "<think",
            "<think>",
            "</think>",
            "\\<think>",
        ),
        *(
            "<answer>yes</answer>",
            "```",
            "```json\n",
            "<|im_end|>",
            "a",
            '"',
            "\\",
            ",",
            "*",
            "\n.",
        ),
        *(
            "Answer: yes. ",
            "yes no ",
            "cannot be x ",
            "sorry.",
            "\\boxed{yes}",
            "\uff39\uff45\uff53。",
            "はい、",
            "Therefore, yes. ",
            "so the answer is ",
            "答え",
            "✅",
        ),
    ]
    answers = {repr(it): (it * HOSTILE_CHARS)[:HOSTILE_CHARS] for it in repeated}
    count, keys = HOSTILE_CHARS // 16, {f"key_{i}": f"value {i}" for i in range(5000)}
    return answers | {
        "many spaces": f"yes{' ' * HOSTILE_CHARS}x",
        "many lines": "yes" + "\n" * HOSTILE_CHARS + "x",
        "nested objects": '{"a":' * 16_000 + "1" + "}" * 16_000,
        "5,000 keys": json.dumps({**keys, "verdict": "yes"}),
        "announcements": "".join(f"Answer: yes {i}. " for i in range(count)),
        "interjections": "Yes, " + "".join(f"{i} or no {i}. " for i in range(count)),
        "options": "A) " + "".join(f"A) x{i} " for i in range(2 * count)),
        "broken JSON": "{'verdict': 'yes', "
        + ",".join(f"'k{i}': True" for i in range(count))
        + "}",
        "prose": f"Yes, {prose(HOSTILE_CHARS)}",
        "long thinking": f"<think>{prose(HOSTILE_CHARS)}</think>yes",
        "long string": json.dumps({"verdict": "yes", "reasoning": prose(HOSTILE_CHARS)}),
    }


def measure(text: str, repeats: int) -> float:
    """Return the median of the seconds that reading takes."""
    reply = ChatReply(text)
    return statistics.median(_seconds(lambda: ADAPTER.parse_reply(reply, RULES), repeats))


def _seconds(read: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        with suppress(AnswerError):
            read()
        seconds.append(time.perf_counter() - begun)
    return seconds


def main() -> None:
    """Print the medians."""
    print("\n| answer | characters | median |\n|---|---|---|")
    for name, text in usual().items():
        print(f"| {name} | {len(text)} | {measure(text, REPEATS) * 1e6:.0f} us |")
    found = {name: measure(text, HOSTILE_REPEATS) * 1e3 for name, text in hostile().items()}
    worst = max(found, key=lambda name: found[name])
    middle = statistics.median(found.values())
    print(f"| hostile, median of {len(found)} kinds | {HOSTILE_CHARS} | {middle:.2f} ms |")
    print(f"| hostile, worst: {worst} | {HOSTILE_CHARS} | {found[worst]:.2f} ms |")


if __name__ == "__main__":
    main()
