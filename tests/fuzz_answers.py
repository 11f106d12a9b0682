"""Fuzz the reading of answers with atheris (`pip install atheris`).

usage: python tests/fuzz_answers.py -max_total_time=600

Whatever a model writes, reading it gives a finding or an AnswerError, within 0.2 seconds.
"""

import math
import sys
import time

import atheris

with atheris.instrument_imports(include=["adapters"]):
    from adapters._answers import parse_reply

from sidecar.errors import AnswerError
from sidecar.model import AnswerRules, AnswerShape, ChatReply, Finding

MOST_S = 0.2
RULES = [
    *(AnswerRules(shape=shape) for shape in AnswerShape),
    AnswerRules(needs_json=True, verdict_field="a.b", verdict_mapping={"safe": "no", "x": "yes"}),
    AnswerRules(shape=AnswerShape.TIMELINE, verdict_field="verdict", reasoning_fields=("r.t", "r")),
    AnswerRules(verdict_mapping={"true": "no", "false": "yes", "bad": "maybe"}),
    AnswerRules(reasoned=True),
]
FINISH_REASONS = ["stop", "length", "", "repetition"]
PIECES = [
    *(
        "yes",
        "no",
        "Yes, ",
        "No. ",
        "A) ",
        "(B)",
        "はい",
        "いいえ。",
        "是",
        "sí",
        "not ",
        "if ",
        "or ",
    ),
    *(
        "<think>",
        "</think>",
        "\\<think\\>",
        "<answer>",
        "</answer>",
        "```json\n",
        "```",
        "<|im_end|>",
    ),
    *('{"verdict": ', '"yes"', "}", "{", "[", "]", ",", ":", "'", "\\", '"a": ', '"b": ', "true"),
    *("{'verdict': 'yes',}", '{"a": {"b": "safe"}}', '"start": "00:01.5", "end": 3', "None", "..."),
    *(
        '"bbox_2d": [1, 2, 3, 4]',
        '"point_2d": [1, 2]',
        "1e999",
        "\ufeff",
        "\ud800",
        "\uff59\uff45\uff53",
        "\u0130",
    ),
    *(
        "Final answer: ",
        "the answer is ",
        "\\boxed{yes}",
        "I cannot determine",
        "わかりません",
        "\n",
        "Therefore, ",
        "so the answer to the question is ",
        "In conclusion, ",
        "Wait, that is not right. ",
        "but only if ",
        "(probably)",
        "Example: ",
        "です",
        "結論は",
        "✅ ",
        "[x] ",
        "? ",
        " // ",
        "is_false_alarm: ",
    ),
]


def text_of(data: atheris.FuzzedDataProvider) -> str | None:
    """Build an answer of known pieces, of any characters, or of both, at times repeated."""
    if data.ConsumeBool() and data.ConsumeBool():
        return None
    parts = [
        PIECES[index % len(PIECES)] if index < 3 * len(PIECES) else data.ConsumeUnicode(8)
        for index in data.ConsumeIntList(data.ConsumeIntInRange(0, 40), 1)
    ]
    return "".join(parts) * data.PickValueInList([1, 1, 1, 1, 3, 50, 2000])


def tokens_of(text: str | None, data: atheris.FuzzedDataProvider) -> tuple[dict[str, float], ...]:
    """Cut a text into tokens with made-up alternatives."""
    size = data.ConsumeIntInRange(0, 6)
    if not text or not size:
        return ()
    pieces = [text[start : start + size] for start in range(0, min(len(text), 3000), size)]
    return tuple({piece: -0.1, "no": data.ConsumeFloat(), "Yes": -math.inf} for piece in pieces)


def read(data: bytes) -> None:
    """Read one made-up reply."""
    source = atheris.FuzzedDataProvider(data)
    rules = RULES[source.ConsumeIntInRange(0, len(RULES) - 1)]
    reason = FINISH_REASONS[source.ConsumeIntInRange(0, len(FINISH_REASONS) - 1)]
    reasoning, content = text_of(source), text_of(source)
    tokens = tokens_of(content, source)
    reply = ChatReply(content, reasoning, reason, top_logprobs=tokens)
    begun = time.process_time()
    try:
        finding = parse_reply(reply, rules)
    except AnswerError:
        pass
    else:
        assert isinstance(finding, Finding)
        assert finding.confirmed is not None or rules.shape is not AnswerShape.VERDICT
        assert finding.confidence is None or 0.0 <= finding.confidence <= 1.0
    assert time.process_time() - begun < MOST_S, "too slow"


if __name__ == "__main__":
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()
