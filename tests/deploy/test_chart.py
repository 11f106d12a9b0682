"""The Helm chart: linted and rendered by Helm's engine, checked against Kubernetes's schemas."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.env_files import ROOT
from deploy.test_monitoring import series
from deploy.tools import miss
from sidecar import __version__
from sidecar.core.gate import find_exposures
from sidecar.settings import FILE_VARIABLE, describe_settings, load_settings

CHART = ROOT / "helm" / "vss-vlm-sidecar"
KUBERNETES = "1.33"
REDIS = {
    "ledger": {"redis": True},
    "secretEnv": {"SIDECAR_LEDGER__REDIS__URL": {"secret": "redis", "key": "url"}},
}
VALUES: dict[str, dict[str, Any]] = {
    "plain": {},
    "replicas": {**REDIS, "replicas": 3},
    "keda": {**REDIS, "keda": {"enabled": True}},
    "everything": {
        **REDIS,
        "image": {"repository": "registry.example/sidecar", "tag": "1"},
        "imagePullSecrets": [{"name": "pull"}],
        "settings": {
            "ab": {"primary": "reason2"},
            "arms": {"reason2": {"url": "http://vlm-nim.vss.svc:8000/v1"}},
            "kafka": {"bootstrap_servers": "kafka-kafka:9092"},
            "sinks": {"elastic": {"hosts": ["http://elasticsearch:9200"]}},
        },
        "keda": {"enabled": True, "lagSeconds": 5},
        "service": {"grpcEnabled": True},
        "serviceMonitor": {"enabled": True},
        "security": {"trustedNetworks": [], "keysSecret": "sidecar-keys"},
        "networkPolicy": {
            "from": [{"namespaceSelector": {"matchLabels": {"vss": "yes"}}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "podAnnotations": {"a": "b"},
    },
    "bare": {
        "preflight": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "ledger": {"volume": {"existingClaim": "kept"}},
    },
}
OTHERS = {"ScaledObject", "ServiceMonitor"}  # of KEDA and Prometheus's operator


def helm() -> Any:
    if find_spec("helm_python") is None:
        miss("helm-python-sdk is not installed: make check-deploy")
    import helm_python

    return helm_python


def render(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what would be installed, by kind."""
    with helm().Chart.load(str(CHART)) as chart:
        texts = chart.render(dict(values), name="demo", namespace="vss")
    found = [yaml.safe_load(text) for path, text in texts.items() if path.endswith(".yaml")]
    return {it["kind"]: it for it in found if it}


@pytest.mark.parametrize("name", VALUES)
def test_helm_has_nothing_to_complain_about(name: str) -> None:
    """Its linter, strictly, but for a picture that nobody needs."""
    found = helm().lint(str(CHART), VALUES[name], strict=True, namespace="vss")
    messages = [it for it in found["messages"] if it["error"] != "icon is recommended"]

    assert not messages
    assert not found["errors"]


@pytest.mark.parametrize("name", VALUES)
def test_everything_is_of_kubernetess_schemas(name: str) -> None:
    """No field is misspelt."""
    if find_spec("kubernetes_validate") is None:
        miss("kubernetes-validate is not installed: make check-deploy")
    import kubernetes_validate

    found = render(VALUES[name])

    assert {"Deployment", "Service", "ConfigMap"} <= set(found)
    for kind, document in found.items():
        if kind not in OTHERS:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_a_misspelt_field_would_be_noticed() -> None:
    """The schemas above are strict."""
    if find_spec("kubernetes_validate") is None:
        miss("kubernetes-validate is not installed: make check-deploy")
    import kubernetes_validate

    wrong = render({})["Service"]
    wrong["spec"]["selektor"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", VALUES)
def test_pods_may_nothing_that_they_need_not(name: str) -> None:
    """No root, no capability, nothing written but the volumes, no token of the cluster."""
    pod = render(VALUES[name])["Deployment"]["spec"]["template"]["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["allowPrivilegeEscalation"] is False


def test_probes_restart_what_is_dead_and_not_what_waits_for_its_model() -> None:
    """Liveness asks whether the process lives; readiness asks every part."""
    (container,) = render({})["Deployment"]["spec"]["template"]["spec"]["containers"]

    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["startupProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_a_ledger_that_is_a_file_has_one_writer() -> None:
    """The old pod ends before the new one starts; with Redis they overlap."""
    alone, many = render({}), render(VALUES["replicas"])

    assert alone["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert alone["PersistentVolumeClaim"]["metadata"]["annotations"]
    assert many["Deployment"]["spec"]["strategy"] == {"type": "RollingUpdate"}
    assert "PersistentVolumeClaim" not in many
    assert "PersistentVolumeClaim" not in render(VALUES["bare"])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"replicas": 2}, "set ledger.redis=true"),
        ({"keda": {"enabled": True}}, "set ledger.redis=true"),
        ({"security": {"trustedNetworks": []}}, "Say who may call"),
        ({"ledger": {"redis": True}}, "needs SIDECAR_LEDGER__REDIS__URL"),
        ({**REDIS, "keda": {"enabled": True, "minReplicas": 9}}, "more than keda.maxReplicas"),
    ],
)
def test_what_cannot_work_is_refused_in_words(values: dict[str, Any], text: str) -> None:
    """Before anything is installed."""
    with pytest.raises(helm().HelmError, match=text):
        render(values)


def test_a_value_that_does_not_exist_is_refused() -> None:
    """By the schema that comes with the chart."""
    found = helm().lint(str(CHART), {"replica": 2}, namespace="vss")

    assert any("replica" in it["error"] for it in found["messages"])


def test_replicas_are_scaled_by_seconds_of_lag() -> None:
    """By a metric that the sidecar has, and nobody else sets the number."""
    found = render(VALUES["everything"])
    (trigger,) = found["ScaledObject"]["spec"]["triggers"]
    metric = re.search(r"rate\((\w+)\{", trigger["metadata"]["query"])

    assert metric
    assert metric[1] in series()
    assert trigger["metadata"]["threshold"] == "5"
    assert "replicas" not in found["Deployment"]["spec"]
    target = found["ScaledObject"]["spec"]["scaleTargetRef"]["name"]
    assert target == found["Deployment"]["metadata"]["name"]


@pytest.mark.parametrize("name", VALUES)
def test_the_sidecar_takes_what_the_chart_gives_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings and variables exist and have values of their kind."""
    found = render(VALUES[name])
    file = tmp_path / "settings.yaml"
    file.write_text(found["ConfigMap"]["data"]["settings.yaml"])
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    known = {it.variable for it in describe_settings(load_settings())} | {FILE_VARIABLE}
    for variable in container["env"]:
        assert variable["name"] in known
        if "value" in variable:
            monkeypatch.setenv(variable["name"], variable["value"])
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    settings = load_settings()

    assert settings.http.host == "0.0.0.0"
    assert not list(find_exposures(settings))
    assert settings.ab.primary == found_primary(VALUES[name])


def found_primary(values: Mapping[str, Any]) -> str:
    return str(values.get("settings", {}).get("ab", {}).get("primary", "baseline"))


def test_the_values_of_the_page_are_values_of_the_chart() -> None:
    """They render, and the service starts with their settings."""
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    block = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert block
    values = yaml.safe_load(block[1])

    assert {"Deployment", "ScaledObject"} <= set(render(values))
    assert load_settings(**values["settings"]).ab.primary == "cosmos3-nano"


def test_the_chart_is_of_this_version() -> None:
    """The image that it starts, too."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    (container,) = render({})["Deployment"]["spec"]["template"]["spec"]["containers"]

    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert container["image"] == f"vss-vlm-sidecar:{__version__}"


def test_only_those_who_are_listed_may_connect() -> None:
    """Without a list it is the pods of the namespace."""
    listed = render(VALUES["everything"])["NetworkPolicy"]["spec"]
    usual = render({})["NetworkPolicy"]["spec"]

    assert usual["policyTypes"] == ["Ingress"]
    assert usual["ingress"][0]["from"] == [{"podSelector": {}}]
    assert listed["policyTypes"] == ["Ingress", "Egress"]
    assert listed["ingress"][0]["ports"] == [{"port": "http"}, {"port": "grpc"}]
