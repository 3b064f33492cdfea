"""Builds the manifests of deploy/kubernetes, and checks them by the schemas of Kubernetes."""

import shutil
import subprocess
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml

from champipy_site.process_secrets import NEEDED
from champipy_site.stack.services import all_services
from tests.support.paths import PROJECT

FOLDER = PROJECT / "deploy" / "kubernetes"
OVERLAYS = ("small", "large")
KUBERNETES = "1.34"
IN_SECRET = {
    "keys": {"SECRET_KEY", "SECRET_KEY_FALLBACKS"},
    "alerts": {"EMAIL_URL", "CHAMPIPY_ALERT_URLS"},
    "metrics": {"CHAMPIPY_METRICS_TOKEN"},
    "storage": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"},
    "tracking": {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"},
    "servers": set(),
}
"""Which of the secret settings are in which Secret, as docs/scaling.md says."""


@cache
def built(overlay: str) -> list[dict[str, Any]]:
    """Return the objects that Kustomize makes of an overlay."""
    kubectl, kustomize = shutil.which("kubectl"), shutil.which("kustomize")
    if not (kubectl or kustomize):
        pytest.skip("neither kubectl nor kustomize is installed")
    command = [kustomize, "build"] if kustomize else [str(kubectl), "kustomize"]
    done = subprocess.run(
        [*command, str(FOLDER / "overlays" / overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in built(overlay) if each["kind"] in kinds}


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    """Return the pod templates by the name of what makes pods of them."""
    makers = of_kind(overlay, "Deployment", "Job")
    return {name: maker["spec"]["template"] for name, maker in makers.items()}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_keeps_to_its_schema(overlay: str) -> None:
    for each in built(overlay):
        if not each["apiVersion"].startswith("keda.sh/"):  # its schema is in no package
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "champipy"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_meets_the_restricted_standard_and_has_limits(overlay: str) -> None:
    [namespace] = of_kind(overlay, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, pod in pods(overlay).items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert all("emptyDir" in volume for volume in spec["volumes"]), name
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert container["image"].startswith("registry.example.org/champipy"), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pods_run_the_processes_of_up(overlay: str) -> None:
    services = all_services({}, "0.0.0.0", 8000)
    makers = of_kind(overlay, "Deployment")
    assert makers.keys() == {service.name for service in services}
    for service in services:
        [container] = makers[service.name]["spec"]["template"]["spec"]["containers"]
        words = " ".join([*container["command"], *container.get("args", ())]).replace("=", " ")
        expected = service.command[service.command.index("-m") :]
        if "celery" in expected:
            expected = [*expected[:-1], f"{service.name}@%h"]
        assert " ".join(expected) in words
        assert {"name": "CHAMPIPY_PROCESS", "value": service.name} in container["env"]
    for alone in ("beat", "training"):
        assert makers[alone]["spec"]["replicas"] == 1
        assert makers[alone]["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_gets_a_secret_that_it_can_do_without(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())):
            secrets = {
                source["secretRef"]["name"].removeprefix("champipy-")
                for source in container["envFrom"]
                if "secretRef" in source
            }
            assert "servers" in secrets
            if name == "setup":
                continue
            process = "after-setup" if container["name"] == "after-setup" else name
            assert set().union(*(IN_SECRET[each] for each in secrets)) == NEEDED[process]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_selects_pods_finds_them(overlay: str) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(overlay).items()}
    for kind in ("Service", "PodDisruptionBudget"):
        for name, each in of_kind(overlay, kind).items():
            selector = each["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            assert [who for who, has in labels.items() if selector.items() <= has.items()] == [name]
    for maker in of_kind(overlay, "Deployment").values():
        chosen = maker["spec"]["selector"]["matchLabels"]
        assert chosen.items() <= maker["spec"]["template"]["metadata"]["labels"].items()
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies["nothing-by-default"]["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }
    [ways_out] = policies["some-to-the-internet"]["spec"]["podSelector"]["matchExpressions"]
    assert set(ways_out["values"]) == labels.keys() - {"inference", "beat", "setup"}
    for policy in policies.values():
        for rule in policy["spec"].get("egress", ()):
            blocks = [to["ipBlock"] for to in rule["to"] if "ipBlock" in to]
            everywhere = [block for block in blocks if block["cidr"] == "0.0.0.0/0"]
            assert all("169.254.0.0/16" in block["except"] for block in everywhere)


def test_scalers_point_at_deployments_whose_replicas_nobody_else_sets() -> None:
    scalers = of_kind("large", "ScaledObject")
    assert scalers.keys() == {"fetch", "inference"}
    makers = of_kind("large", "Deployment")
    for name, scaler in scalers.items():
        assert scaler["spec"]["scaleTargetRef"] == {"name": name}
        assert "replicas" not in makers[name]["spec"]
        [trigger] = scaler["spec"]["triggers"]
        assert f'champipy_oldest_waiting_seconds{{worker="{name}"}}' in trigger["metadata"]["query"]
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
