"""The compose files: of the specification, complete for every machine, closed to the outside."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.env_files import COMPOSE, HW_ENVS, ROOT, compose_files, hw_names, values_of
from deploy.tools import miss, render, tool
from deploy.vss_shape import VSS, VSS_ENV
from sidecar import __version__
from sidecar.core.gate import find_exposures
from sidecar.settings import load_settings

BASE = COMPOSE / "docker-compose.yml"
PROFILES = {
    "redis": {"redis"},
    "kafka": {"kafka", "kafka-topics"},
    "elastic": {"elasticsearch"},
    "mock-vlm": {"mock-vlm"},
    "observability": {"prometheus", "grafana"},
    "otel": {"otel-collector", "jaeger"},
    "density": {"density", "kafka", "kafka-topics", "prometheus", "grafana"},
}
ALWAYS = {"preflight", "sidecar"}
MACHINES = [name for name in hw_names() if name != "cpu-dev"]
ONE_MODEL = ["vlm.reason2.yml", "vlm.cosmos3-nano.yml"]
NIM = ["vlm.reason2.nim.yml", "vlm.cosmos3-nano.nim.yml"]
ACCEPTED = {
    "CL-0019": "digests differ by architecture and are pinned where the image is published",
    "CL-0026": "sizes of third parties are the user's; the sidecar has a limit in its own file",
}


def compose(*files: str, machine: str = "", profiles: tuple[str, ...] = (), **env: str) -> Any:
    env_file = HW_ENVS / f"{machine}.env" if machine else None
    paths = [COMPOSE / name for name in (files or (BASE.name,))]
    services: Any = render(paths, COMPOSE, env_file=env_file, env=env)["services"]
    return {name: it for name, it in services.items() if _is_on(it, profiles)}


def _is_on(service: Mapping[str, Any], profiles: tuple[str, ...]) -> bool:
    return not service.get("profiles") or bool(set(service["profiles"]) & set(profiles))


@pytest.mark.parametrize("file", compose_files(), ids=lambda path: path.name)
def test_files_are_of_the_compose_specification(file: Path) -> None:
    """Its current one, not only what an older engine takes."""
    text = file.read_text("utf-8")
    known = _of_specification(_filled(text))

    assert set(known.service_names()) == set(yaml.safe_load(text)["services"])


def test_a_file_that_is_not_of_the_specification_is_refused() -> None:
    """The parser above is no rubber stamp."""
    with pytest.raises(ValueError, match="service_healthy"):
        _of_specification("services: {a: {image: x, depends_on: {b: {condition: never}}}}")


def _of_specification(text: str) -> Any:
    if find_spec("compose_spec") is None:
        miss("compose-spec is not installed: make check-deploy")
    from compose_spec import PyCompose

    merged = yaml.safe_load(text)  # carries out `<<`, which the parser leaves to YAML
    return PyCompose.from_yaml(yaml.safe_dump(merged))


def _filled(text: str) -> str:
    """Put a machine's values, or the defaults, where variables stand."""
    variables = values_of(HW_ENVS / "dgx-spark-pair.env")

    def value(found: re.Match[str]) -> str:
        name, mark, default = re.match(r"(\w+)(:?[-?]|)(.*)", found[1]).groups()  # type: ignore[union-attr]
        return variables.get(name, default if mark.endswith("-") and default else "1")

    return re.sub(r"\$\{([^}]*)\}", value, text)


@pytest.mark.parametrize("file", compose_files(), ids=lambda path: path.name)
def test_the_header_says_what_it_is_for_and_how_to_start_it(file: Path) -> None:
    """In the first lines, before any YAML."""
    header = file.read_text("utf-8").partition("\nservices:")[0]
    starting = [line for line in header.splitlines() if "docker compose" in line]

    assert header.startswith("# ")
    assert starting
    assert not [line for line in file.read_text("utf-8").splitlines() if len(line) > 120]


@pytest.mark.parametrize("machine", hw_names())
def test_the_sidecar_alone_starts_on_every_machine(machine: str) -> None:
    """With every profile at once."""
    services = compose(machine=machine, profiles=tuple(PROFILES))

    assert set(services) == ALWAYS | set().union(*PROFILES.values())


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_adds_its_services(profile: str) -> None:
    """And no others."""
    assert set(compose(profiles=(profile,))) == ALWAYS | PROFILES[profile]


@pytest.mark.parametrize("file", [*ONE_MODEL, *NIM])
@pytest.mark.parametrize("machine", MACHINES)
def test_a_model_starts_on_every_machine(machine: str, file: str) -> None:
    """The sidecar asks the service that the file adds, and it alone."""
    services = compose(BASE.name, file, machine=machine, NGC_API_KEY="key")
    arm = file.split(".")[1]
    environment = services["sidecar"]["environment"]

    assert f"vlm-{arm}" in services
    assert environment["SIDECAR_AB__PRIMARY"] == arm
    url = f"SIDECAR_ARMS__{arm.upper().replace('-', '_')}__URL"
    assert environment[url] == f"http://vlm-{arm}:8000/v1"


@pytest.mark.parametrize("machine", MACHINES)
def test_a_pair_starts_only_with_shares_for_two(machine: str) -> None:
    """Shares for one model would take the memory of the other."""
    if machine.endswith("-pair"):
        assert {"vlm-reason2", "vlm-cosmos3-nano"} <= set(
            compose(BASE.name, "vlm.pair.yml", machine=machine)
        )
    else:
        with pytest.raises(AssertionError, match=r"made for two models, ../hw_envs/\*-pair.env"):
            compose(BASE.name, "vlm.pair.yml", machine=machine)


def test_the_pair_shares_nothing_but_the_machine() -> None:
    """Names, ports, caches and shares are apart, and the second waits for the first."""
    services = compose(BASE.name, "vlm.pair.yml", machine="dgx-spark-pair")
    one, two = services["vlm-reason2"], services["vlm-cosmos3-nano"]

    for key in ("ports", "command"):
        assert one[key] != two[key]
    assert _caches(one).isdisjoint(_caches(two))
    assert two["depends_on"] == {"vlm-reason2": {"condition": "service_healthy"}}


def _caches(service: Mapping[str, Any]) -> set[str]:
    return {it.split(":")[0] for it in service["volumes"] if not it.split(":")[0].startswith("/")}


@pytest.mark.parametrize("file", ONE_MODEL)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_flags_of_vllm_are_whole(machine: str, file: str) -> None:
    """Each flag has its value, JSON is JSON, and nothing is left to fill in."""
    services = compose(BASE.name, file, machine=machine, NGC_API_KEY="key")
    (name,) = (key for key in services if key.startswith("vlm-"))
    words = shlex.split(services[name]["command"])
    flags = dict(pairwise(words[1:]))

    assert not words[0].startswith("-")
    assert 0 < float(flags["--gpu-memory-utilization"]) < 1
    for flag in ("--media-io-kwargs", "--limit-mm-per-prompt"):
        assert isinstance(json.loads(flags[flag]), dict)
    if "nano" in file:
        assert isinstance(json.loads(flags["--hf-overrides"]), dict)
    assert "--reasoning-parser" not in words


def test_a_model_without_a_machine_is_refused_in_words() -> None:
    """Which file to name stands in the error."""
    for file in ONE_MODEL:
        with pytest.raises(AssertionError, match=r"--env-file ../hw_envs/NAME.env"):
            compose(BASE.name, file)
    with pytest.raises(AssertionError, match="NGC"):
        compose(BASE.name, NIM[0], machine="h100")


def test_nothing_is_reachable_from_other_machines() -> None:
    """Docker's networks need no key, so every port is on loopback until the user opens it."""
    services = compose(
        BASE.name, "vlm.pair.yml", machine="dgx-spark-pair", profiles=tuple(PROFILES)
    )
    ports = {name: it.get("ports", []) for name, it in services.items()}

    assert ports["sidecar"]
    for published in ports.values():
        assert all(it.startswith("127.0.0.1:") for it in published)


@pytest.mark.parametrize("machine", hw_names())
def test_the_sidecar_starts_with_what_compose_gives_it(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its variables are settings that exist, with values that they take."""
    environment = compose(machine=machine)["sidecar"]["environment"]
    for name, value in environment.items():
        if name.startswith("SIDECAR_") and value is not None:
            monkeypatch.setenv(name, str(value))
    settings = load_settings()

    assert settings.http.host == "0.0.0.0"
    assert not list(find_exposures(settings))
    assert [str(it) for it in settings.media.allowed_roots] == ["/clips"]


def test_every_variable_that_is_passed_on_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are unset until somebody needs them."""
    examples = {"PRIMARY": "reason2", "MODE": "pass", "PORT": "8000", "COMPAT": "2.4"}
    names = {
        name
        for path in compose_files()
        for service in yaml.safe_load(path.read_text("utf-8"))["services"].values()
        for name in service.get("environment", {})
        if name.startswith("SIDECAR_")
    }
    for name in names:
        value = examples.get(name.split("_")[-1], "/x" if "DIR" in name else "")
        if value:
            monkeypatch.setenv(name, value)

    assert load_settings().ab.primary == "reason2"
    assert not {name for name in names if not _is_setting(name)}


def _is_setting(name: str) -> bool:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    return re.sub(r"ARMS__[A-Z0-9_]+?__", "ARMS__<ARM>__", name) in page


def test_what_is_mounted_is_there() -> None:
    """A missing file would become an empty folder in the container."""
    for path in compose_files():
        text = path.read_text("utf-8")
        mounted = re.findall(r"^\s+- (\./[\w./-]+):|\"(\./[\w./-]+):", text, re.MULTILINE)
        for name in filter(None, (it for pair in mounted for it in pair)):
            assert (COMPOSE / name).exists(), name


def test_images_are_of_this_version_or_pinned() -> None:
    """No tag that moves."""
    for path in compose_files():
        for service in yaml.safe_load(path.read_text("utf-8"))["services"].values():
            image = service.get("image", "x:1")
            assert not image.endswith("latest")
            if "SIDECAR_IMAGE" in image:
                assert image == f"${{SIDECAR_IMAGE:-vss-vlm-sidecar:{__version__}}}"


@pytest.mark.parametrize("machine", ["dgx-spark-pair", "cpu-dev"])
def test_the_security_linter_finds_nothing_that_is_not_accepted(
    machine: str, tmp_path: Path
) -> None:
    """On the merged result, with every profile; what is accepted has its reason beside it."""
    files = [BASE.name] + (["vlm.pair.yml"] if machine != "cpu-dev" else [])
    services = compose(*files, machine=machine, profiles=tuple(PROFILES))
    found = _lint({"services": services}, tmp_path)

    assert not [it for it in found if it["rule_id"] not in ACCEPTED], found


def test_the_security_linter_would_find_something(tmp_path: Path) -> None:
    """A service that drops nothing is reported."""
    found = _lint({"services": {"a": {"image": "x:1", "privileged": True}}}, tmp_path)

    assert {"CL-0003", "CL-0006"} <= {it["rule_id"] for it in found}


def _lint(document: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    file = folder / "compose.yml"
    file.write_text(yaml.safe_dump(document), "utf-8")
    command = [tool("compose-lint"), "check", "--format", "json", str(file)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    findings = json.loads(found.stdout)
    listed = findings if isinstance(findings, list) else findings["findings"]
    return [it for it in listed if it["severity"].lower() not in ("low", "info")]


@pytest.mark.parametrize("version", ["3.2", "3.3"])
def test_the_bridge_keeps_everything_that_vss_gave_it(version: str) -> None:
    """Only the image changes, and what makes it safer and durable is added."""
    plain = _vss(version, [])["alert-bridge"]
    laid_over = _vss(version, [COMPOSE / "vss-3.yml"])["alert-bridge"]

    for key in ("container_name", "entrypoint", "command", "restart", "stop_grace_period"):
        assert laid_over[key] == plain[key]
    for key in ("ports", "network_mode", "depends_on"):
        assert laid_over.get(key) == plain.get(key)
    assert set(laid_over["profiles"]) == set(plain["profiles"])
    assert plain["environment"].items() <= laid_over["environment"].items()
    assert set(plain["volumes"]) <= set(laid_over["volumes"])
    assert set(plain["tmpfs"]) <= set(laid_over["tmpfs"])
    assert laid_over["image"].startswith("vss-vlm-sidecar:")
    assert laid_over["read_only"] is True


def test_the_image_alone_can_be_swapped_by_vsss_own_variables() -> None:
    """VSS_ALERT_IMAGE and VSS_ALERT_TAG are all that it takes."""
    swapped = _vss("3.3", [], VSS_ALERT_IMAGE="vss-vlm-sidecar", VSS_ALERT_TAG=__version__)

    assert swapped["alert-bridge"]["image"] == f"vss-vlm-sidecar:{__version__}"


def test_vsss_own_bridge_asks_the_sidecar_as_its_remote_model() -> None:
    """Beside it runs the sidecar; nothing else of the bridge changes."""
    plain = _vss("3.3", [])["alert-bridge"]
    services = _vss("3.3", [COMPOSE / "vss-3.remote-vlm.yml"])
    bridge = services["alert-bridge"]

    assert bridge["image"] == plain["image"]
    assert bridge["environment"]["VLM_BASE_URL"] == "http://vlm-sidecar:9080"
    assert bridge["environment"]["VLM_MODE"] == "remote"
    assert services["vlm-sidecar"]["image"].startswith("vss-vlm-sidecar:")


def _vss(version: str, over: list[Path], **env: str) -> Any:
    files = [VSS / f"compose-{version}.yml", *over]
    return render(files, VSS, env={**VSS_ENV, **env})["services"]


def test_the_engine_of_2_4_is_found_under_its_name() -> None:
    """On VSS's shared network, on its port, with the user's clips."""
    services = compose(
        "vss-2.4.yml", "vlm.reason2.yml", machine="l40s", ALERT_REVIEW_MEDIA_BASE_DIR="/clips"
    )
    sidecar = services["sidecar"]

    assert sidecar["networks"]["vss-shared-network"]["aliases"] == ["via-server"]
    assert sidecar["ports"] == ["127.0.0.1:8000:8000/tcp"]
    assert "/clips:/media:ro" in sidecar["volumes"]
    assert sidecar["environment"]["SIDECAR_ARMS__REASON2__URL"] == "http://vlm-reason2:8000/v1"


@pytest.mark.docker
def test_compose_starts_the_sidecar() -> None:
    """Where Docker is: the image is built, the service becomes healthy and is taken down again."""
    version = ["docker", "compose", "version"]
    if subprocess.run(version, capture_output=True, check=False).returncode:
        pytest.skip("no Docker with compose on this machine")
    command = ["docker", "compose", "-p", "sidecar-test", "-f", str(BASE)]
    environment = {**os.environ, "SIDECAR_HOST_PORT": "0", "SIDECAR_METRICS_HOST_PORT": "0"}
    try:
        up = [*command, "up", "--build", "--detach", "--wait", "--wait-timeout", "300"]
        subprocess.run(up, env=environment, timeout=900, check=True)
    finally:
        subprocess.run([*command, "down", "--volumes"], env=environment, timeout=120, check=True)
