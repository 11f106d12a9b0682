"""The variables of machines: nothing unsourced, nothing unknown, nothing that overflows."""

import json
import re
import shlex
from pathlib import Path

import pytest

from deploy.env_files import HW_ENVS, ROOT, Line, compose_files, hw_names, read_lines, values_of
from sidecar.hw.facts import load_facts
from sidecar.hw.memory import need_of
from sidecar.hw.plan import Wish, make_plan, parse_models
from sidecar.settings import describe_settings, load_settings

FACTS = load_facts()
NAMES = hw_names()
MODELS = {"REASON2": "reason2", "COSMOS3_NANO": "cosmos3-nano"}
EXPECTED = {
    *("dgx-spark", "dgx-spark-pair", "agx-thor", "agx-thor-pair", "igx-thor"),
    *("h100", "rtx-pro-6000", "l40s", "generic-gpu", "cpu-dev"),
}
_SOURCE = re.compile(r"source: ([\w-]+)")
_PLAN = re.compile(r"plan: sidecar (hw plan .+)$")


def test_every_machine_has_its_file() -> None:
    """Those that are promised, and no others."""
    assert set(NAMES) == EXPECTED


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_a_reason_that_exists(name: str) -> None:
    """A source of the facts, or a plan; the file's name alone speaks for itself."""
    unsourced = [
        f"{name}.env:{line.number}: {line.name}={line.value}"
        for line in read_lines(HW_ENVS / f"{name}.env")
        if not _is_sourced(line)
    ]

    assert not unsourced, "\n".join(unsourced)


def test_an_unsourced_number_is_noticed(tmp_path: Path) -> None:
    """The check above can fail: without a reason, and with one that names no known source."""
    file = tmp_path / "x.env"
    file.write_text("A=1\n\n# because\nB=2\n# source: nowhere\nC=3\n# source: article\nD=4\n")

    assert [_is_sourced(line) for line in read_lines(file)] == [False, False, False, True]


def _is_sourced(line: Line) -> bool:
    if line.name in ("HW_PROFILE", "VLM_PAIR"):
        return bool(line.reason)
    cited = _SOURCE.findall(line.reason)
    return bool(cited and set(cited) <= set(FACTS.sources)) or bool(_PLAN.search(line.reason))


def test_every_source_is_cited() -> None:
    """A source that neither a fact nor a file cites is out of date."""
    texts = [path.read_text("utf-8") for path in HW_ENVS.glob("*.env")]
    facts = (ROOT / "sidecar/hw/facts.yaml").read_text("utf-8").partition("\nengine:")[2]
    cited = {key for text in texts for key in _SOURCE.findall(text)}
    unused = [key for key in FACTS.sources if key not in cited and key not in facts]

    assert not unused


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_read_by_a_compose_file_or_is_a_setting(name: str) -> None:
    """A misspelt name would silently do nothing."""
    used = {
        key for path in compose_files() for key in re.findall(r"\$\{(\w+)", path.read_text("utf-8"))
    } | {"TRITON_PTXAS_PATH"}
    settings = {setting.variable for setting in describe_settings(load_settings())}
    variables = values_of(HW_ENVS / f"{name}.env")

    assert not [key for key in variables if key not in used | settings]
    assert variables["HW_PROFILE"] == name


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_a_machine_load(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every SIDECAR_ variable has a value that the sidecar accepts."""
    variables = values_of(HW_ENVS / f"{name}.env")
    for key, value in variables.items():
        if key.startswith("SIDECAR_"):
            monkeypatch.setenv(key, value)
    settings = load_settings()

    assert settings.verify.max_in_flight == int(variables["SIDECAR_VERIFY__MAX_IN_FLIGHT"])


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-pair")])
def test_the_shares_of_a_pair_are_those_of_the_plan(name: str) -> None:
    """What the comment's command prints is what stands below it."""
    for line in read_lines(HW_ENVS / f"{name}.env"):
        if command := _PLAN.search(line.reason):
            assert _planned(command[1])[line.name] == line.value


def _planned(command: str) -> dict[str, str]:
    words = shlex.split(command)
    options = dict(zip(words[2::2], words[3::2], strict=True))
    plan = make_plan(FACTS, Wish(options["--hw"], parse_models(options["--models"])))
    return dict(plan.environment)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cpu-dev"])
def test_the_models_fit_into_their_shares(name: str) -> None:
    """Weights, cache for all requests, vision and engine fit; all shares together too."""
    variables = values_of(HW_ENVS / f"{name}.env")
    machine = FACTS.machines.get(name.removesuffix("-pair"), FACTS.machines["l40s"])
    shares = {prefix: float(variables[f"{prefix}_GPU_MEMORY_UTILIZATION"]) for prefix in MODELS}
    for prefix, model in MODELS.items():
        need = need_of(
            FACTS,
            model,
            variables[f"{prefix}_PRECISION"],
            context=int(variables[f"{prefix}_MAX_MODEL_LEN"]),
            sequences=int(variables[f"{prefix}_MAX_NUM_SEQS"]),
        )
        assert need.total <= shares[prefix] * machine.memory_gib.value, prefix
    together = sum(shares.values()) if name.endswith("-pair") else max(shares.values())

    assert together <= machine.most_share.value


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cpu-dev"])
def test_the_servers_media_options_match_what_the_sidecar_prepares(name: str) -> None:
    """A loader that sampled at another rate would show the model other frames than were chosen."""
    variables = values_of(HW_ENVS / f"{name}.env")
    video = json.loads(variables["VLM_MEDIA_IO_KWARGS"])["video"]
    limits = json.loads(variables["VLM_LIMIT_MM"])
    for prefix in MODELS:
        assert video["fps"] == float(variables[f"SIDECAR_ARMS__{prefix}__FPS"])

    assert video["num_frames"] == -1
    assert limits["video"] >= 1
    assert limits["image"] >= load_settings().media.max_items


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cpu-dev"])
def test_the_deadline_leaves_time_for_every_request(name: str) -> None:
    """The deadline of an event must not end it before its server's own time is over."""
    variables = values_of(HW_ENVS / f"{name}.env")
    deadline = float(variables["SIDECAR_VERIFY__DEADLINE_S"])
    for prefix, model in MODELS.items():
        arm = load_settings().arms[model]
        asked = float(variables[f"SIDECAR_ARMS__{prefix}__TIMEOUT_S"]) * (arm.retries + 1)

        assert asked < deadline
