"""From VSS's `vlm` section to one arm: which adapter, how it is asked, and what it is shown."""

import math
from collections.abc import Mapping
from typing import Any, Final

from sidecar.core.families import belongs
from sidecar.model import ModelProfile
from sidecar.vss.rules import Draft, Values

FALLBACK_ADAPTER: Final = "generic"
_NO_MODEL: Final = ("baseline", FALLBACK_ADAPTER)
_FORMATS: Final[Mapping[str, str]] = dict.fromkeys(("cr1", "cr2", "cr3"), "cosmos-reason")
_DEADLINE_S: Final = 120.0
_MOST_FPS: Final = 60.0
_MOST_FRAMES: Final = 768
_DEFAULT_SAMPLING_FPS: Final = 4.0
_DEFAULT_WINDOW_S: Final = 10.0
_SHORT_S, _LONG_S, _LONG_FRAMES = 1.0, 30.0, 72  # services/alert, vlm_client.py


def shape_arm(values: Values, families: Mapping[str, ModelProfile], draft: Draft) -> str:
    """Make the arm that answers.

    Args:
        values: of the configuration.
        families: the profiles of the adapters, by their names.
        draft: gets the settings.

    Returns:
        The arm's name, which is its adapter's.
    """
    model = values.text("vlm.model")
    name = _choose(model, families, draft)
    draft.put("ab.primary", name, "vlm.model")
    draft.put(f"arms.{name}.adapter", name, "vlm.model")
    draft.put(f"arms.{name}.model", model, "vlm.model")
    if values.has("vlm.base_url"):
        draft.put(f"arms.{name}.url", _with_version(values.text("vlm.base_url")), "vlm.base_url")
    else:
        draft.refuse("vlm.base_url", "names no endpoint; write such as http://rtvi-vlm:8000/v1.")
    _shape_asking(values, name, draft)
    _shape_frames(values, name, draft)
    return name


def shape_answers(values: Values, draft: Draft) -> None:
    """Say in which form answers come."""
    key = "vlm.response_format"
    if values.has(key):
        name = values.text(key)
        draft.put("answers.response_format", _FORMATS.get(name, name), key)
    both = ("vlm.response_parser", "vlm.custom_parser_module")
    if all(values.has(one) for one in both):
        draft.note(both[1], "vlm.response_parser reads every answer, as in VSS.")


def _choose(model: str, families: Mapping[str, ModelProfile], draft: Draft) -> str:
    if not model:
        draft.refuse("vlm.model", "names no model; write the id that GET /v1/models tells.")
        return FALLBACK_ADAPTER
    for name, family in families.items():
        if name not in _NO_MODEL and belongs(model, family):
            return name
    known = ", ".join(name for name in families if name not in _NO_MODEL)
    draft.warn(
        "vlm.model",
        f"{model!r} is of no family that is known ({known}), so it is asked as any model is. "
        "If it is one of them, serve it under an id that tells so.",
    )
    return FALLBACK_ADAPTER


def _with_version(url: str) -> str:
    return url if url.endswith("/v1") else f"{url}/v1"


def _shape_asking(values: Values, arm: str, draft: Draft) -> None:
    for key, setting in (
        ("vlm.request_timeout", "timeout_s"),
        ("vlm.max_retries", "retries"),
        ("vlm.temperature", "temperature"),
    ):
        if values.has(key):
            draft.put(f"arms.{arm}.{setting}", values.by_key[key], key)
    if values.has("vlm.max_tokens"):
        tokens = values.whole("vlm.max_tokens", 0) or None
        draft.put(f"arms.{arm}.max_tokens", tokens, "vlm.max_tokens")
    attempts = values.whole("vlm.max_retries", 1) + 1
    needed_s = values.number("vlm.request_timeout", 0.0) * attempts + _DEADLINE_S / 2
    if needed_s > _DEADLINE_S:
        draft.put("verify.deadline_s", needed_s, "vlm.request_timeout")


def _shape_frames(values: Values, arm: str, draft: Draft) -> None:
    key = "vlm.vlm_media_source_using_base64"
    inline = values.flag(key)
    draft.put(f"arms.{arm}.evidence", "video" if inline else "url", key)
    if values.flag("vlm.use_vlm_media_defaults"):
        draft.note("vlm.use_vlm_media_defaults", "the adapter's own frames and size are taken.")
        return
    if values.flag("vlm.do_resize", default=True) and values.has("vlm.max_pixels"):
        pixels = values.whole("vlm.max_pixels", 0)
        draft.put(f"arms.{arm}.max_pixels", pixels, "vlm.max_pixels")
        if not inline:
            draft.note("vlm.max_pixels", _at_the_server("the size"))
    for setting, value, origin in _frames(values, draft):
        draft.put(f"arms.{arm}.{setting}", value, origin)


def _frames(values: Values, draft: Draft) -> list[tuple[str, Any, str]]:
    """Choose the rate and the number of frames, so that as many result as VSS asks for."""
    window_s = values.number("vst_config.segment_duration_seconds", _DEFAULT_WINDOW_S)
    if values.flag("vlm.enable_sampling"):
        fps = values.number("vlm.sampling_fps", _DEFAULT_SAMPLING_FPS)
        key = "vlm.sampling_fps"
        most = [("max_frames", _within(fps * window_s), key)] if window_s > 0 else []
        return [("fps", fps, key), *most]
    count, key = _frame_count(values, window_s, draft)
    if count is None:
        return []
    fps = min(count / window_s if window_s > 0 else float(count), _MOST_FPS)
    text = (
        f"{count} frames of a clip of {window_s:g} s are meant as {fps:g} per second; a shorter "
        "clip has fewer, a longer one not more."
    )
    draft.note(key, text if window_s > 0 else f"{count} frames at most, {fps:g} per second.")
    return [("fps", fps, key), ("max_frames", count, key)]


def _frame_count(values: Values, window_s: float, draft: Draft) -> tuple[int | None, str]:
    key = "vlm.dynamic_frame_count"
    if values.flag(key) and window_s > _SHORT_S:
        count = _LONG_FRAMES if window_s >= _LONG_S else int(0.281 * window_s + 9.7183)
        draft.note(key, f"taken for the length of a clip, {window_s:g} s: {count} frames.")
        return count, key
    key = "vlm.num_frames"
    return (values.whole(key, 0) or None, key)


def _within(frames: float) -> int:
    return max(1, min(math.ceil(frames), _MOST_FRAMES))


def _at_the_server(what: str) -> str:
    return (
        f"the model's server fetches the clip by its URL and chooses {what} itself. For exact "
        "frames set vlm.vlm_media_source_using_base64 to true."
    )
