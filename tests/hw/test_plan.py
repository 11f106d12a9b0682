"""`sidecar hw`: what fits on a machine, and what is said when it does not."""

import json
import subprocess
import sys
from typing import Any

import pytest

from sidecar.errors import SettingsError
from sidecar.hw.facts import load_facts
from sidecar.hw.memory import GB, GIB
from sidecar.hw.plan import Wish, make_plan, parse_models

FACTS = load_facts()
PAIR = [("reason2", "bf16"), ("cosmos3-nano", "bf16")]


def test_two_8b_models_take_35_gb_on_a_spark() -> None:
    """The article's budget: 17 GB each, together about 35 of 128 GB."""
    plan = make_plan(FACTS, Wish("dgx-spark", PAIR))

    assert not plan.refusals
    assert plan.weights * GIB == pytest.approx(35 * GB, rel=0.1)
    assert plan.total < plan.budget


def test_super_is_refused_on_one_spark() -> None:
    """In every precision, with the way out: a second node."""
    for precision in FACTS.model("cosmos3-super").artefacts:
        plan = make_plan(FACTS, Wish("dgx-spark", [("cosmos3-super", precision)]))

        assert "memory pressure" in plan.refusals[0]
        assert "second node, and set SIDECAR_ARMS__COSMOS3_SUPER__URL" in plan.advice[0]


def test_super_beside_reason2_is_also_too_large() -> None:
    """The arithmetic says so by itself."""
    models = [("cosmos3-super", "bf16"), ("reason2", "bf16")]
    plan = make_plan(FACTS, Wish("dgx-spark", models, context=32_768))

    assert any("servers may take 97.4 GiB of 121.69 GiB" in text for text in plan.refusals)


@pytest.mark.parametrize(
    ("precision", "keeps_up"), [("nvfp4", True), ("bf16", False), ("fp8", False)]
)
def test_14_streams_on_a_spark_need_nvfp4(precision: str, keeps_up: bool) -> None:
    """VSS published 14 streams at 4.6 events a minute: only NVFP4's backlog did not grow."""
    wish = Wish("dgx-spark", [("cosmos3-nano", precision)], streams=14, per_minute=4.6)
    plan = make_plan(FACTS, wish)

    assert (not plan.refusals) == keeps_up
    assert any("15% free" in text for text in plan.remarks) == keeps_up


def test_a_load_that_nobody_published_is_a_remark() -> None:
    """Silence would look like consent."""
    wish = Wish("agx-thor", [("reason2", "fp8")], streams=14, per_minute=4.6)
    plan = make_plan(FACTS, wish)

    assert not plan.refusals
    assert any("Measure it" in text for text in plan.remarks)
    assert any("server alone did 8.08 requests" in text for text in plan.remarks)


def test_a_gpu_that_cannot_compute_a_precision_is_named() -> None:
    """NVFP4 needs compute capability 10."""
    plan = make_plan(FACTS, Wish("h100", [("cosmos3-nano", "nvfp4")]))

    assert "needs compute capability 10, and H100 80 GB has 9" in plan.refusals[0]


@pytest.mark.parametrize("text", ["", " , ", "reason2,reason2:fp8"])
def test_models_that_cannot_be_meant_are_refused(text: str) -> None:
    """Nothing, or one twice."""
    with pytest.raises(SettingsError, match="--models"):
        parse_models(text)


def test_the_command_prints_the_environment_and_its_status_tells_whether_it_fits() -> None:
    """0 with the variables for compose; 5 with the reasons and none."""
    fits = _hw("plan", "--hw", "dgx-spark", "--models", "reason2:fp8,cosmos3-nano:nvfp4")
    refused = _hw("plan", "--hw", "dgx-spark", "--models", "cosmos3-super")

    assert (fits.returncode, refused.returncode) == (0, 5)
    assert json.loads(fits.stdout)["environment"]["REASON2_GPU_MEMORY_UTILIZATION"] == "0.17"
    assert json.loads(refused.stdout)["environment"] == {}
    assert json.loads(refused.stdout)["refusals"]


def test_the_command_lists_and_shows_machines() -> None:
    """With the runs that were published about each."""
    listed = json.loads(_hw("list").stdout)
    shown = json.loads(_hw("show", "dgx-spark").stdout)
    unknown = _hw("show", "abacus")

    assert {"dgx-spark", "agx-thor", "igx-thor"} <= listed.keys()
    nano = [run for run in shown["runs"] if run["model"] == "cosmos3-nano"]
    assert {run["precision"] for run in nano} == {"bf16", "fp8", "nvfp4"}
    assert unknown.returncode == 2
    assert "Known: dgx-spark" in " ".join(unknown.stderr.split())


def _hw(*arguments: str) -> Any:
    command = [sys.executable, "-m", "sidecar", "hw", *arguments, "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
