"""Long clips are reviewed chunk by chunk, and the chunks make one answer."""

from pathlib import Path
from typing import Any

from review_samples import full, reviewing, short

from sidecar.core.chunking import cut
from sidecar.testing.mock_vlm import ScriptedAnswer


async def _review(folder: Path, request: dict[str, Any], *answers: str | ScriptedAnswer) -> Any:
    """Review with one chunk at a time, so that the answers come in their order."""
    review = {"max_in_flight": 1}
    verify, arm = {"ask_again": False}, {"retries": 0}
    async with reviewing(folder, *answers, review=review, verify=verify, arm=arm) as (service, _):
        return await service.post("/reviewAlert", request)


async def test_a_minute_in_chunks_is_described_chunk_by_chunk(minute: Path) -> None:
    """Each chunk has its line, its block of reasoning and its frames; one yes confirms."""
    answers = (
        "<think>quiet</think>No.",
        "<think>a box</think>Yes, it fell.",
        "<think>gone</think>No.",
        "<think>still gone</think>No.",
    )
    request = full(chunk_duration=20, chunk_overlap_duration=5, num_frames_per_chunk=5)
    status, body = await _review(minute, request, *answers)

    result = body["result"]
    assert (200, "SUCCESS", True) == (status, result["status"], result["verification_result"])
    assert [
        "Detailed description per chunk:",
        "0-20 sec: No.",
        "15-35 sec: Yes, it fell.",
        "30-50 sec: No.",
        "45-60 sec: No.",
    ] == result["description"].splitlines()
    rule = "-" * 20
    assert [
        "Detailed reasoning per chunk:",
        *["0-20 sec:", "quiet", rule, "15-35 sec:", "a box", rule],
        *["30-50 sec:", "gone", rule, "45-60 sec:", "still gone"],
    ] == result["reasoning"].splitlines()
    assert [
        *[0.0, 4.0, 8.0, 12.0, 16.0],
        *[15.0, 19.0, 23.0, 27.0, 31.0],
        *[30.0, 34.0, 38.0, 42.0, 46.0],
        *[45.0, 48.0, 51.0, 54.0, 57.0],
    ] == result["debug"]["selected_frames_ts"]


async def test_a_chunk_that_fails_fails_what_the_others_do_not_confirm(minute: Path) -> None:
    """Not seen in the rest is no answer about the whole, but seen once is."""
    request = short(chunk_duration=30)
    broken = ScriptedAnswer("boom", status=500)
    _, denied = await _review(minute, request, "no", broken)
    _, confirmed = await _review(minute, request, broken, "yes")

    assert ("FAILURE", False) == (
        denied["result"]["status"],
        denied["result"]["verification_result"],
    )
    assert denied["result"]["error_string"].startswith("30-60 sec: ")
    assert ("SUCCESS", True) == (
        confirmed["result"]["status"],
        confirmed["result"]["verification_result"],
    )


async def test_a_chunk_longer_than_the_clip_is_the_clip(minute: Path) -> None:
    """The text is then the answer itself."""
    _, body = await _review(minute, short(chunk_duration=60, chunk_overlap_duration=10), "no")

    assert ("no", "No reasoning available") == (
        body["result"]["description"],
        body["result"]["reasoning"],
    )


def test_chunks_cover_a_clip_without_a_rest_too_short_to_show() -> None:
    """Every moment is in a chunk; a rest below a second belongs to the last one."""
    whole = [(it.start_s, it.end_s) for it in cut(0.0, 60.04, 20, 0)]
    part = [(it.start_s, it.end_s) for it in cut(10.0, 31.5, 10, 3)]

    assert [(0.0, 20.0), (20.0, 40.0), (40.0, 60.04)] == whole
    assert [(10.0, 20.0), (17.0, 27.0), (24.0, 31.5)] == part
