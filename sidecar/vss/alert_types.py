"""Every key of VSS's `alert_type_config.json`, and what becomes of it. Read it as a table.

The file itself is read by the prompt book (`sidecar.outside.prompts`); here is what to know of it.
Source: services/alert, alert_type_config_loader.py.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from sidecar.vss.rules import Remark, Shapes, Unused

_ONE_ARM: Final = Unused("all alert types are asked in the way of the vlm section")
_RTVI: Final = Unused("it belongs to RT-VLM's rules")
_USED: Final = Shapes("prompt")

ALERT_TYPE_KEYS: Final[Mapping[str, Shapes | Unused]] = {
    "alert_type": _USED,
    "output_category": _USED,
    "output_verdict_description": _USED,
    "segment_anchor": _USED,
    "prompts.user": _USED,
    "prompts.system": _USED,
    "prompts.enrichment": Unused("no second question is asked for a description"),
    "vlm_params.model": _USED,
    "vlm_params.max_tokens": _USED,
    "vlm_params.temperature": _USED,
    "vlm_params.enable_reasoning": _USED,
    "vlm_params.base_url": _ONE_ARM,
    "vlm_params.request_timeout": _ONE_ARM,
    "vlm_params.max_retries": _ONE_ARM,
    "vlm_params.use_vlm_media_defaults": _ONE_ARM,
    "vlm_params.do_resize": _ONE_ARM,
    "vlm_params.min_pixels": _ONE_ARM,
    "vlm_params.max_pixels": _ONE_ARM,
    "vlm_params.num_frames": _ONE_ARM,
    "vlm_params.enable_sampling": _ONE_ARM,
    "vlm_params.sampling_fps": _ONE_ARM,
    "vlm_params.chunk_duration": _RTVI,
    "vlm_params.num_frames_per_second_or_fixed_frames_chunk": _RTVI,
    "answer": _USED,
}
"""Keys of one entry of `alerts`; `answer` is an extension of ours."""

_SECTIONS: Final = frozenset(key.partition(".")[0] for key in ALERT_TYPE_KEYS if "." in key)
_WHOLE_FILE: Final = frozenset({"version", "alerts"})


def find_unused(document: Mapping[str, Any]) -> Iterator[Remark]:
    """Yield what is in an `alert_type_config.json` and does nothing; wrong shapes are not told."""
    for name in document:
        if name not in _WHOLE_FILE:
            yield Remark("warning", name, "is not known and does nothing.")
    entries = document.get("alerts")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping):
            yield from _entry_remarks(entry)


def _entry_remarks(entry: Mapping[str, Any]) -> Iterator[Remark]:
    for key in _keys(entry):
        name = f"{entry.get('alert_type')}: {key}"
        rule = ALERT_TYPE_KEYS.get(key)
        if rule is None:
            near = get_close_matches(key, ALERT_TYPE_KEYS, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            yield Remark("warning", name, f"is not known and does nothing.{hint}")
        elif isinstance(rule, Unused):
            yield Remark("note", name, f"not used, because {rule.because}.")


def _keys(entry: Mapping[str, Any]) -> Iterator[str]:
    """List the dotted names of everything that has a value."""
    for name, value in entry.items():
        if name in _SECTIONS and isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner, it in value.items() if it not in (None, ""))
        elif value not in (None, "", {}):
            yield str(name)
