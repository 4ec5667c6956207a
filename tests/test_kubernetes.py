"""What profiles/kubernetes asks of a cluster: jobs as the plugin submits them, and the manifests.

No cluster takes part. Snakemake runs with the shipped profile, and each request of the Kubernetes
client is written down in place of being sent.
"""

import inspect
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes.client
import pytest
import snakemake_executor_plugin_kubernetes as plugin
import yaml

from bigart.stages import STAGES
from projects import PATH, ROOT, Project

pytestmark = pytest.mark.cluster

PROFILE = ROOT / "profiles/kubernetes"
GPU = "nvidia.com/gpu"
KUBECONFIG = """
{apiVersion: v1, kind: Config, current-context: none, users: [{name: none, user: {}}],
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}],
contexts: [{name: none, context: {cluster: none, user: none}}]}
"""
# In place of rsync where there is none: it copies, and knows no options
RSYNC = """#!/bin/sh
while [ "$#" -gt 2 ]; do shift; done
exec cp -pRL "$1" "$2"
"""
# In place of the client: it notes what is sent, and lets no job begin
CLIENT = """
import json, os
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

def call_api(self, path, method, *arguments, body=None, **options):
    with open(os.environ["ASKED"], "a") as file:
        print(json.dumps(self.sanitize_for_serialization(body)), file=file)
    if path.endswith("/jobs"):
        raise ApiException(status=403)

ApiClient.call_api = call_api
"""


@pytest.fixture(scope="module")
def folder(tiny: Project) -> Path:
    (tiny.folder / "sitecustomize.py").write_text(CLIENT)
    (tiny.folder / "kubeconfig").write_text(KUBECONFIG)
    (tiny.folder / "rsync").write_text(RSYNC)
    (tiny.folder / "rsync").chmod(0o755)
    (tiny.folder / "results/lake/candidates.png").unlink()
    (tiny.folder / "results/villa/1-thumbnails/1.png").unlink()
    return tiny.folder


def submitted(project: Project, target: str) -> dict[str, Any]:
    """Return the pod of the job that is submitted for a target."""
    asked = project.folder / "asked"
    asked.unlink(missing_ok=True)
    variables = {"KUBECONFIG": "kubeconfig", "ASKED": str(asked)}
    variables |= {"PATH": f"{project.folder}:{PATH}", "PYTHONPATH": str(project.folder)}
    done = project.snakemake(
        *(target, "--workflow-profile", "profiles/kubernetes", "--config", "device=cpu"),
        *("--default-storage-prefix", str(project.folder), "--retries", "0"),
        variables=variables,
        check=False,
    )
    assert "Kubernetes request failed" in done.stderr, done.stderr
    [job] = [body for body in map(json.loads, asked.read_text().splitlines()) if "spec" in body]
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize(
    ("target", "stage"),
    [
        ("results/lake/candidates.png", "contact-sheet"),
        ("results/villa/1-thumbnails/1.png", "thumbnails"),
    ],
)
def test_a_job_asks_for_what_its_rule_and_the_profile_say(
    target: str, stage: str, folder: Path, tiny: Project
) -> None:
    pod = submitted(tiny, target)
    [container] = pod["containers"]
    resources = container["resources"]
    asked = {kind: amounts.get(GPU) for kind, amounts in resources.items()}
    tolerated = [toleration["key"] for toleration in pod.get("tolerations", [])]
    if STAGES[stage].role:  # Kubernetes refuses a GPU without a limit
        assert asked == {"requests": "1", "limits": "1"}
        assert tolerated == [GPU]
    else:
        assert set(asked.values()) == {None}
        assert tolerated == []
    assert resources["requests"]["memory"] == f"{STAGES[stage].mem_mb}M"
    assert resources["requests"]["ephemeral-storage"] == "8000M"
    assert f"--allowed-rules {STAGES[stage].rule}" in container["args"][-1]
    like = manifests()["Pod"]["spec"]["containers"][0]
    assert container["image"] == like["image"]
    assert like["volumeMounts"][0] in container["volumeMounts"]
    assert manifests()["Pod"]["spec"]["volumes"][0] in pod["volumes"]


@pytest.mark.parametrize("target", ["all", "candidates", "weights"])
def test_pods_can_make_every_target(target: str, tiny: Project) -> None:
    """Its files are named relative to the checkout, or they would be looked for elsewhere."""
    prefix = ["--default-storage-prefix", str(tiny.folder)]
    tiny.snakemake(target, "--dry-run", "--workflow-profile", "profiles/kubernetes", *prefix)


def manifests() -> dict[str, dict[str, Any]]:
    """What cluster.yaml makes, by kind."""
    documents = yaml.safe_load_all((PROFILE / "cluster.yaml").read_text())
    return {document["kind"]: document for document in documents}


def test_the_profile_and_the_manifests_name_the_same_volume() -> None:
    profile = yaml.safe_load((PROFILE / "config.yaml").read_text())
    mount = manifests()["Pod"]["spec"]["containers"][0]["volumeMounts"][0]
    claim = manifests()["PersistentVolumeClaim"]["metadata"]["name"]
    assert profile["kubernetes-persistent-volumes"] == [f"{claim}:{mount['mountPath']}"]
    assert Path(profile["default-storage-prefix"]).is_relative_to(mount["mountPath"])


def test_the_role_allows_what_the_plugin_calls() -> None:
    verbs = {"create": "create", "read": "get", "list": "list", "delete": "delete"}
    called = re.findall(r"api\.(\w+?)_namespaced_([a-z_]+)", inspect.getsource(plugin))
    needed = {
        (verbs[verb], re.sub("(_|$)", r"s\1", kind, count=1).replace("_", "/"))
        for verb, kind in called
    }
    allowed = {
        (verb, resource)
        for rule in manifests()["Role"]["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    assert {("create", "jobs"), ("get", "pods/log"), ("get", "jobs/status")} <= needed
    assert needed <= allowed


def test_manifests_hold_no_field_that_kubernetes_does_not_know() -> None:
    client = kubernetes.client.ApiClient()
    for kind, manifest in manifests().items():
        answer = SimpleNamespace(data=json.dumps(manifest))
        known = client.sanitize_for_serialization(client.deserialize(answer, f"V1{kind}"))
        assert known == manifest, kind
