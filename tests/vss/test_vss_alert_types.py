"""What becomes of the keys of VSS's `alert_type_config.json`."""

from typing import Any

import pytest

from sidecar.contract.config import AlertTypeEntry, VlmParams
from sidecar.vss.alert_types import ALERT_TYPE_KEYS, find_unused


def remarks_on(**entry: Any) -> list[tuple[str, str]]:
    document = {"version": "1.0", "alerts": [{"alert_type": "loitering", **entry}]}
    return [(remark.severity, remark.key) for remark in find_unused(document)]


def test_every_parameter_of_vss_has_a_rule() -> None:
    """Whatever an entry may set has a rule in the table."""
    parameters = {f"vlm_params.{name}" for name in VlmParams.model_fields}
    sections = {"prompts", "vlm_params"}

    assert parameters <= set(ALERT_TYPE_KEYS)
    assert set(AlertTypeEntry.model_fields) - sections <= set(ALERT_TYPE_KEYS)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"prompts": {"user": "Is it?"}}, []),
        ({"vlm_params": {"model": "a", "max_tokens": 5}}, []),
        ({"vlm_params": {"num_frames": None}}, []),
        ({"vlm_params": {"num_frames": 8}}, [("note", "loitering: vlm_params.num_frames")]),
        ({"prompts": {"enrichment": "What?"}}, [("note", "loitering: prompts.enrichment")]),
        ({"segment_ancor": "end"}, [("warning", "loitering: segment_ancor")]),
    ],
)
def test_what_does_nothing_is_told(entry: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """A key that does nothing is a note with its alert type, an unknown one a warning."""
    assert expected == remarks_on(**entry)


def test_a_key_of_the_whole_file_is_told() -> None:
    """An unknown key beside the alert types is a warning."""
    assert ["defaults"] == [it.key for it in find_unused({"alerts": [], "defaults": {}})]
