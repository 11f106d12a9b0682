"""Media that cannot be verified: one clear terminal state each, and the service lives on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import running

from sidecar.testing import media


def _event(path: str, **info: str) -> dict[str, Any]:
    return {
        "id": f"event {path}",
        "sensorId": path,
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:10.000Z",
        "category": "motion",
        "info": {"video_path": path, **info},
    }


def _write_text(path: Path) -> None:
    path.write_text("this is not a video, whatever its name says\n" * 100)


def _write_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(60 * 1024 * 1024)


BAD: list[tuple[str, Callable[[Path], object], str, str]] = [
    ("missing.mp4", lambda _: None, "media_missing", "404"),
    ("empty.mp4", lambda path: path.touch(), "media_empty", "422"),
    (
        "no-index.mp4",
        lambda path: media.write_truncated(path, index_first=False),
        "media_truncated",
        "422",
    ),
    (
        "cut.mp4",
        lambda path: media.write_truncated(path, index_first=True),
        "media_truncated",
        "422",
    ),
    ("sound.mp4", media.write_audio_only, "media_without_video", "422"),
    ("one.mp4", media.write_single_frame, "media_single_frame", "422"),
    ("text.mp4", _write_text, "media_not_video", "415"),
    ("long.mp4", media.write_long, "media_too_long", "413"),
    ("huge.mp4", _write_huge, "media_too_large", "413"),
    ("../outside.mp4", lambda _: None, "media_forbidden", "403"),
    ("/etc/passwd", lambda _: None, "media_forbidden", "403"),
]


async def test_each_kind_of_bad_media_has_its_own_end(tmp_path: Path) -> None:
    """Reason, code and a sentence; then a good clip is still verified."""
    clips = tmp_path / "clips"
    clips.mkdir()
    for name, write, _, _ in BAD:
        if not name.startswith((".", "/")):
            write(clips / name)
    media.write_motion(clips / "good.mp4")
    async with running(tmp_path, media={"allowed_roots": [clips]}) as service:
        found = {name: (await service.verdict_on(_event(name)))["info"] for name, *_ in BAD}
        good = await service.verdict_on(_event("good.mp4"))

    assert {name: (reason, code) for name, _, reason, code in BAD} == {
        name: (info["sidecarReason"], info["verificationResponseCode"])
        for name, info in found.items()
    }
    assert {"verification-failed"} == {info["verdict"] for info in found.values()}
    assert {"media_download"} == {info["errorSource"] for info in found.values()}
    assert not [info for info in found.values() if str(tmp_path) in str(info)]
    assert "confirmed" == good["info"]["verdict"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/clip.mp4",
        "http://localhost/clip.mp4",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/clip.mp4",
        "http://2130706433/clip.mp4",
        "http://[::ffff:127.0.0.1]/clip.mp4",
        "file:///etc/passwd",
        "ftp://example.com/clip.mp4",
    ],
)
async def test_urls_into_private_places_are_refused(url: str, tmp_path: Path) -> None:
    """The camera system cannot make the sidecar read what it should not."""
    event = _event("camera")
    event["info"] = {"media_urls": [url], "media_type": "video"}
    async with running(tmp_path) as service:
        info = (await service.verdict_on(event))["info"]

    assert ("media_forbidden", "verification-failed") == (info["sidecarReason"], info["verdict"])


async def test_an_arm_abstains_from_questions_it_cannot_answer(tmp_path: Path) -> None:
    """The motion baseline never guesses about collisions."""
    media.write_motion(tmp_path / "clip.mp4")
    event = {**_event("clip.mp4"), "category": "collision"}
    async with running(tmp_path, media={"allowed_roots": [tmp_path]}) as service:
        info = (await service.verdict_on(event))["info"]

    assert ("unsupported_question", "verification-failed") == (
        info["sidecarReason"],
        info["verdict"],
    )
    assert "not a VLM" in info["verificationResponseStatus"]
