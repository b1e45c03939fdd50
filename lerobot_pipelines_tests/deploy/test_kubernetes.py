"""The manifests are what the Kubernetes API takes, and a run becomes a job of that kind."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from lerobot_pipelines.config import load_config
from lerobot_pipelines.defs import home
from lerobot_pipelines_tests.deploy.shipped import DEPLOY, documents

FILES = ("namespace.yaml", "access.yaml", "services.yaml", "network.yaml", "login.yaml")
SECRETS = {"lerobot-pipelines-database", "lerobot-pipelines-bucket", "lerobot-pipelines-login"}
DOCKERFILE = DEPLOY / "kubernetes" / "Dockerfile"
NAMESPACE = "robots"
IMAGE = "registry.example/lerobot-pipelines:7"

needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("dagster_k8s") is None,
    reason="dagster_k8s is not installed: the extra kubernetes",
)


def manifests() -> list[dict[str, Any]]:
    return [each for file in FILES for each in documents(f"kubernetes/{file}")]


def kustomization() -> dict[str, Any]:
    return documents("kubernetes/kustomization.yaml")[0]


def names_of(kind: str) -> set[str]:
    """Names of manifests of this kind; generated config maps are among them."""
    names = {each["metadata"]["name"] for each in manifests() if each["kind"] == kind}
    if kind == "ConfigMap":
        names |= {generator["name"] for generator in kustomization()["configMapGenerator"]}
    return names


def assert_valid(manifest: dict[str, Any]) -> None:
    """Every key, at any depth, is one of the API's."""
    from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
    from kubernetes import client

    known = {"v1", "apps/v1", "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"}
    assert manifest["apiVersion"] in known
    model = getattr(client, f"V1{manifest['kind']}")
    k8s_model_from_dict(model, k8s_snake_case_dict(model, manifest))


@needs_extra
def test_manifests_hold_no_key_that_the_api_does_not_know() -> None:
    for manifest in manifests():
        assert_valid(manifest)
    with pytest.raises(Exception, match="replica"):
        assert_valid({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replica": 1}})


def test_what_pods_refer_to_exists() -> None:
    readme = (DEPLOY / "README.md").read_text()
    assert all(secret in readme for secret in SECRETS)
    for deployment in (each for each in manifests() if each["kind"] == "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] in names_of("ServiceAccount")
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in names_of("ConfigMap")
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounts == set(volumes)
            for source in container["envFrom"]:
                if "configMapRef" in source:
                    assert source["configMapRef"]["name"] in names_of("ConfigMap")
                else:
                    assert source["secretRef"]["name"] in SECRETS
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"] == labels


def deployment(component: str) -> dict[str, Any]:
    (found,) = (
        each
        for each in manifests()
        if each["kind"] == "Deployment" and each["metadata"]["name"].endswith(f"-{component}")
    )
    return found


def pod_of(component: str) -> dict[str, Any]:
    return dict(deployment(component)["spec"]["template"]["spec"])


@pytest.mark.parametrize("component", ["code", "daemon", "webserver", "login"])
def test_pods_have_only_what_they_need(component: str) -> None:
    pod = pod_of(component)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "livenessProbe" in container and "memory" in container["resources"]["limits"]
    secrets = {
        source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source
    }
    assert ("lerobot-pipelines-bucket" in secrets) == (component == "code")
    asks_the_cluster = component in ("daemon", "webserver")
    assert pod.get("automountServiceAccountToken", True) == asks_the_cluster
    if component != "daemon":
        assert "readinessProbe" in container


def test_only_the_daemon_may_start_jobs() -> None:
    rules = {
        role["metadata"]["name"]: {
            verb for rule in role["rules"] if "jobs" in rule["resources"] for verb in rule["verbs"]
        }
        for role in manifests()
        if role["kind"] == "Role"
    }
    assert [name for name, verbs in rules.items() if "create" in verbs] == [
        "lerobot-pipelines-daemon"
    ]


def test_what_no_policy_names_is_closed_and_the_code_server_is_for_two() -> None:
    policies = {
        each["metadata"]["name"]: each["spec"]
        for each in manifests()
        if each["kind"] == "NetworkPolicy"
    }
    assert policies["nothing-else"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (rule,) = policies["code"]["ingress"]
    (origin,) = rule["from"]
    _, who = origin["podSelector"]["matchExpressions"]
    assert who["values"] == ["daemon", "webserver"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 4000}]
    components = {
        each["spec"]["template"]["metadata"]["labels"]["component"]
        for each in manifests()
        if each["kind"] == "Deployment"
    } | {"run"}
    named = {
        value
        for spec in policies.values()
        for one in spec["podSelector"].get("matchExpressions", [])
        if one["key"] == "component"
        for value in one["values"]
    } | {spec["podSelector"].get("matchLabels", {}).get("component") for spec in policies.values()}
    assert named - {None} == components


def test_exactly_one_daemon_runs_even_while_it_is_replaced() -> None:
    daemon = deployment("daemon")
    assert daemon["spec"]["replicas"] == 1
    assert daemon["spec"]["strategy"] == {"type": "Recreate"}


def test_the_example_dataset_is_a_valid_configuration() -> None:
    (files,) = (
        generator["files"]
        for generator in kustomization()["configMapGenerator"]
        if generator["name"] == "lerobot-pipelines-datasets"
    )
    for file in files:
        assert load_config(DEPLOY / "kubernetes" / file).storage.url.startswith("s3://")


def test_the_image_holds_what_the_project_needs() -> None:
    text = DOCKERFILE.read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ")]
    sources = {name for names in copied for name in names if not name.startswith(("--", "/"))}
    assert {"pyproject.toml", "constraints.txt", "lerobot_pipelines"} <= sources
    assert all((DEPLOY.parent / source).exists() for source in sources), sources
    assert home.__name__ in (DEPLOY / "kubernetes" / "services.yaml").read_text()


@needs_extra
def test_a_run_becomes_a_job_with_the_image_settings_and_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster._config import process_config
    from dagster._core.code_pointer import ModuleCodePointer
    from dagster._core.launcher import LaunchRunContext
    from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
    from dagster_k8s.launcher import K8sRunLauncher
    from kubernetes import client

    monkeypatch.setenv("LEROBOT_PIPELINES_NAMESPACE", NAMESPACE)
    written = documents("kubernetes/dagster.yaml")[0]["run_launcher"]["config"]
    checked = process_config(K8sRunLauncher.config_type(), written)
    assert checked.success, checked.errors
    assert checked.value is not None
    cluster: list[tuple[str, Any]] = []
    config = {
        **checked.value,
        "load_incluster_config": False,
        "kubeconfig_file": str(no_cluster(tmp_path)),
        "k8s_client_batch_api": Recorder(cluster),
    }
    origin = JobPythonOrigin(
        "demo_episode",
        RepositoryPythonOrigin(
            "python", ModuleCodePointer("lerobot_pipelines.definitions", "defs"), IMAGE
        ),
    )
    run = dg.DagsterRun("demo_episode", str(uuid.uuid4()), job_code_origin=origin)
    with dg.instance_for_test() as instance:
        launcher = K8sRunLauncher(**config)
        launcher.register_instance(instance)
        instance.add_run(run)
        launcher.launch_run(LaunchRunContext(run, workspace=None))

    ((namespace, body),) = cluster
    job = client.ApiClient().sanitize_for_serialization(body)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert namespace == NAMESPACE
    assert container["image"] == IMAGE
    assert container["args"][:5] == ["python", "-m", "dagster", "api", "execute_run"]
    assert container["resources"]["requests"] == {"cpu": "2", "memory": "1Gi"}
    assert pod["serviceAccountName"] in names_of("ServiceAccount")
    referred = [source.get("configMapRef") for source in container["envFrom"]]
    assert {each["name"] for each in referred if each} <= names_of("ConfigMap")
    maps = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
    assert maps and maps <= names_of("ConfigMap")
    # dagster-k8s mounts no settings: they travel with the command.
    assert json.loads(container["args"][5])["instance_ref"]["__class__"] == "InstanceRef"
    assert job["spec"]["backoffLimit"] == 0
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert (labels["app"], labels["component"]) == ("lerobot-pipelines", "run")
    secrets = {
        source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source
    }
    assert secrets == {"lerobot-pipelines-database", "lerobot-pipelines-bucket"}


class Recorder:
    """Stands for the cluster's batch API: takes jobs and keeps them."""

    def __init__(self, jobs: list[tuple[str, Any]]) -> None:
        self._jobs = jobs

    def create_namespaced_job(self, body: Any, namespace: str, **options: Any) -> None:
        self._jobs.append((namespace, body))


def no_cluster(folder: Path) -> Path:
    """A kubeconfig of a cluster that nobody calls."""
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "nobody"}}],
        "current-context": "none",
    }
    path.write_text(yaml.safe_dump(config))
    return path


@needs_extra
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl here")
def test_kustomize_builds_it_and_the_code_location_names_its_own_image() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes")],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [each for each in yaml.safe_load_all(built.stdout) if each]
    for manifest in found:
        assert_valid(manifest)
    (code,) = (
        each
        for each in found
        if each["metadata"]["name"] == "lerobot-pipelines-code" and each["kind"] == "Deployment"
    )
    (container,) = code["spec"]["template"]["spec"]["containers"]
    assert {"name": "IMAGE", "value": container["image"]} in container["env"]
    (instance,) = (each for each in found if each["metadata"]["name"] == "dagster-instance")
    assert (
        yaml.safe_load(instance["data"]["dagster.yaml"])["run_launcher"]["module"] == "dagster_k8s"
    )
