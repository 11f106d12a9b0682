"""Scenario files: those of the package are complete, and wrong ones are told."""

import json
from pathlib import Path
from typing import Any

import pytest
from density.targets import scenario

from sidecar.density.arrivals import plan_offers
from sidecar.density.scenario import load_scenario, parse_scenario, scenario_names
from sidecar.density.statistics import proves
from sidecar.errors import SettingsError

NAMES = [
    "alert-review-30s",
    "burst",
    "h100-50",
    "one-noisy-camera",
    "rtvlm-10s-80f-448",
    "spark-14",
    "vss-alert-verification",
]
GOOD: dict[str, Any] = scenario().model_dump(mode="json")


def test_the_package_brings_the_scenarios() -> None:
    """By the names that the documentation has."""
    assert NAMES == scenario_names()


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_measures_enough_to_be_sure(name: str) -> None:
    """Its window brings enough events for each promise, with one late event, for one stream too."""
    loaded = load_scenario(name)
    for streams in (loaded.streams or 1, loaded.search.most):
        events = loaded.offered_per_s(streams) * loaded.measure_s(streams)
        for promise in loaded.promises:
            assert proves(promise.percent, int(events), 1)
    assert name == loaded.name
    assert plan_offers(loaded, 4, seed=1, until_s=120)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lod": {}}, "lod: Extra inputs are not permitted"),
        ({"load": {"per_minute": 0}}, "load.per_minute: Input should be greater than 0"),
        ({"load": {}}, "load.per_minute: Field required"),
        ({"promises": []}, "promises: Tuple should have at least 1 item"),
        (
            {"window": {"give_up_s": 5}},
            "window.give_up_s must be longer than the longest promise, 10.0",
        ),
        ({"search": {"start": 9, "most": 8}}, "start must not be larger than most"),
        (
            {"load": {"per_minute": 1, "noisy": {"sensors": 4}}, "streams": 4},
            "load.noisy.sensors must leave some of the streams quiet",
        ),
        (
            {
                "load": {
                    "per_minute": 1,
                    "burst": {"share": 1, "factor": 2, "every_s": 5, "lasts_s": 5},
                }
            },
            "lasts_s must be shorter than every_s",
        ),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], told: str) -> None:
    """Every field, with what it should be."""
    with pytest.raises(SettingsError) as refused:
        parse_scenario(json.dumps({**GOOD, **change}), "mine.json")

    assert told in refused.value.detail
    assert "The scenario mine.json is wrong." in refused.value.detail


def test_an_unknown_name_is_told_with_the_known_ones(tmp_path: Path) -> None:
    """A missing file too."""
    with pytest.raises(SettingsError, match="one of: alert-review-30s, burst"):
        load_scenario(str(tmp_path / "missing.json"))
