"""Chat completions as servers write them."""

import pytest

from sidecar.contract.openai import reply_from_completion


def _completion(logprobs: object) -> dict[str, object]:
    message = {"role": "assistant", "content": "yes"}
    return {"choices": [{"message": message, "finish_reason": "stop", "logprobs": logprobs}]}


def _entry(token: str, logprob: object) -> dict[str, object]:
    return {"token": token, "logprob": logprob, "bytes": [0]}


def test_logprobs_become_one_mapping_for_each_token() -> None:
    """The written token comes first, also where an alternative was more likely or it is no top."""
    top = [_entry("no", -0.1), _entry("yes", -2.5), _entry(" No", -9999.0)]
    content = [
        {**_entry("yes", -2.5), "top_logprobs": top},
        {**_entry("<|im_end|>", 0), "top_logprobs": []},
    ]

    reply = reply_from_completion(_completion({"content": content}))

    first, second = reply.top_logprobs
    assert [("yes", -2.5), ("no", -0.1), (" No", -9999.0)] == list(first.items())
    assert {"<|im_end|>": 0} == second


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, [], "x", {"content": {}}])
def test_a_completion_without_logprobs_has_none(logprobs: object) -> None:
    """Servers that were not asked leave logprobs null or out."""
    assert reply_from_completion(_completion(logprobs)).top_logprobs == ()


@pytest.mark.parametrize(
    "entry",
    [
        *(None, "yes", {}, {"token": "yes"}),
        *(_entry("yes", value) for value in (None, "-1", True, 0.5, float("nan"))),
    ],
)
def test_a_broken_position_is_empty(entry: object) -> None:
    """A position without a log-probability of its own token keeps its place and says nothing."""
    reply = reply_from_completion(_completion({"content": [entry]}))

    assert reply.top_logprobs == ({},)
