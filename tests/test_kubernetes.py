"""The workflow in pods, by profiles/kubernetes, on a stand-in for the cluster.

No real cluster takes part (see kubernetes_stub.py): what is shown is what is asked of one, that the
commands of pods do their work with what they are given, and that a lost pod is tried again.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes.client
import pytest
import yaml

from bigart.pictures import images
from kubernetes_stub import Cluster, RefusedError, quantity
from projects import ROOT, Project

PROFILE = ROOT / "profiles/kubernetes"
NETWORKS = {"thumbnails", "upsampled", "enlarged_1024", "detailed", "enlarged_4096"}
GPU = "nvidia.com/gpu"
# Stand-ins for pip, which in the image finds what it is asked for, and for rsync if there is none.
PIP = '#!/bin/sh\necho "$@" >> {calls}\n'
RSYNC = """\
#!/bin/sh
while [ "$#" -gt 2 ]; do shift; done
exec cp -pRL "$1" "$2"
"""


class Painted:
    """A small project, its contact sheet painted by pods; one was killed and one lost."""

    def __init__(self, folder: Path) -> None:
        self.volume = folder / "volume"
        self.volume.mkdir()
        self.project = Project(self.volume / "BIG.art")
        self.image = folder / "image"
        self.image.mkdir()
        self.calls = folder / "pip-calls"
        self._command("pip", PIP.format(calls=self.calls))
        if shutil.which("rsync") is None:
            self._command("rsync", RSYNC)
        python = Path(sys.executable).parent
        self.environment = {
            "PATH": f"{self.image}:{python}:{os.environ['PATH']}",
            "HOME": str(folder),
            "OMP_NUM_THREADS": "1",
        }
        for arguments in (["init", "--quiet"], ["add", "."]):
            subprocess.run(["git", *arguments], cwd=self.project.folder, check=True, timeout=60)
        claims = {"big-art": self.volume}
        self.cluster = Cluster(folder / "pods", claims, self.environment)
        self.cluster.unlucky = ["thumbnails"]
        self.cluster.lost = ["upsampled"]
        with self.cluster as cluster:
            self.kubeconfig = cluster.kubeconfig()
            self.said = self.run("results/lake/candidates.png")
            self.left = [*cluster.secrets, *cluster.jobs]

    def _command(self, name: str, text: str) -> None:
        path = self.image / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, *arguments: str) -> str:
        """Run Snakemake with the shipped profile; only paths, device and waits differ from it."""
        options = {
            "--workflow-profile": "profiles/kubernetes",
            "--kubernetes-persistent-volumes": f"big-art:{self.volume}",
            "--default-storage-prefix": str(self.project.folder),
            "--config": "device=cpu",
            "--seconds-between-status-checks": "1",
        }
        command = [sys.executable, "-m", "snakemake", *arguments]
        done = subprocess.run(
            command + [word for option in options.items() for word in option],
            cwd=self.project.folder,
            env={**self.environment, "KUBECONFIG": str(self.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=1200,
        )
        logs = [(pod.folder / "log").read_text() for pod in self.cluster.pods]
        assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *logs])
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Painted:
    return Painted(tmp_path_factory.mktemp("kubernetes"))


def profile() -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load((PROFILE / "config.yaml").read_text())
    return settings


def manifests() -> dict[str, dict[str, Any]]:
    """What cluster.yaml makes, by kind."""
    documents = yaml.safe_load_all((PROFILE / "cluster.yaml").read_text())
    return {document["kind"]: document for document in documents}


def test_pods_leave_every_file_in_the_checkout_on_the_volume(painted: Painted) -> None:
    lake = painted.project.folder / "results/lake"
    sizes = {"1-thumbnails/1": 64, "1-thumbnails/2": 64, "2-upsampled/1": 256, "2-upsampled/2": 256}
    for name, side in sizes.items():
        assert images.read_rgb(lake / f"{name}.png").shape == (side, side, 3)
    assert (lake / "candidates.png").exists()
    for stage in ("1-thumbnails", "2-upsampled", "candidates"):
        assert (lake / "log" / f"{stage}.log").exists()
        assert (lake / "log" / f"{stage}.benchmark.tsv").read_text().startswith("s\th:m:s\t")


def test_a_killed_pod_and_a_lost_one_are_tried_again(painted: Painted) -> None:
    runs = [(pod.rule, pod.exit_code) for pod in painted.cluster.pods]
    assert runs == [
        ("thumbnails", 137),
        ("thumbnails", 0),
        ("upsampled", 137),
        ("upsampled", 0),
        ("contact_sheet", 0),
    ]


def test_a_network_gets_one_gpu_and_the_rest_none(painted: Painted) -> None:
    for pod in painted.cluster.pods:
        resources = pod.container["resources"]
        gpus = {kind: asked.get(GPU) for kind, asked in resources.items()}
        tolerated = pod.body["spec"]["template"]["spec"].get("tolerations", [])
        if pod.rule in NETWORKS:
            assert gpus == {"requests": "1", "limits": "1"}
            assert [toleration["key"] for toleration in tolerated] == [GPU]
        else:
            assert gpus == {"requests": None}
            assert tolerated == []


def test_memory_and_disk_are_those_of_rules_and_profile(painted: Painted) -> None:
    for pod in painted.cluster.pods:
        requests = pod.container["resources"]["requests"]
        memory = 8000 if pod.rule in NETWORKS else 500  # of a first try; a second asks for twice
        assert quantity(requests["memory"]) in (memory * 1e6, 2 * memory * 1e6)
        assert quantity(requests["ephemeral-storage"]) == 8000e6
    asked = [
        quantity(pod.container["resources"]["requests"]["memory"]) for pod in painted.cluster.pods
    ]
    assert 16e9 in asked  # the pod that was killed was given twice as much


def test_every_network_has_what_a_gpu_needs() -> None:
    """Its rules in the workflow, and a limit: Kubernetes refuses a GPU without one."""
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    rules = {part.split(":", 1)[0] for part in text.split("\nrule ")[1:] if "gpu=1" in part}
    assert rules == {*NETWORKS, "verify_stage"}
    for name in rules:
        options = profile()["set-resources"][name]
        assert options["gpu_manufacturer"] == "nvidia"
        assert options["scale"] == 0


def test_the_stand_in_refuses_a_gpu_without_a_limit(tmp_path: Path) -> None:
    container = {"image": "any", "resources": {"requests": {GPU: "1"}}}
    pod = {"restartPolicy": "Never", "containers": [container]}
    job = {"metadata": {"name": "a"}, "spec": {"template": {"spec": pod}}}
    with (
        pytest.raises(RefusedError, match="Limit must be set"),
        Cluster(tmp_path, {}, {}) as cluster,
    ):
        cluster.answer(
            "POST", "/apis/batch/v1/namespaces/default/jobs", json.loads(json.dumps(job))
        )


def test_a_pod_installs_nothing_that_the_image_lacks(painted: Painted) -> None:
    calls = {line.split()[-1] for line in painted.calls.read_text().splitlines()}
    assert calls == {"snakemake-storage-plugin-fs"}
    assert "snakemake-storage-plugin-fs==" in (ROOT / "requirements.lock").read_text()


def test_only_the_job_of_a_lost_pod_is_left(painted: Painted) -> None:
    lost = [pod.folder.name for pod in painted.cluster.pods if pod.forgotten]
    assert painted.left == lost
    assert list(painted.project.folder.glob("*.tar.xz")) == []


def test_the_role_allows_what_the_plugin_asks_for(painted: Painted) -> None:
    allowed = {
        (verb, group, resource)
        for rule in manifests()["Role"]["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert painted.cluster.asked
    assert painted.cluster.asked <= allowed


def test_the_pod_that_runs_snakemake_is_like_its_pods(painted: Painted) -> None:
    spec = manifests()["Pod"]["spec"]
    container = spec["containers"][0]
    volume = container["volumeMounts"][0]
    claim = spec["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert {pod.container["image"] for pod in painted.cluster.pods} == {container["image"]}
    assert profile()["kubernetes-persistent-volumes"] == [f"{claim}:{volume['mountPath']}"]
    assert claim == manifests()["PersistentVolumeClaim"]["metadata"]["name"]
    assert Path(profile()["default-storage-prefix"]).is_relative_to(volume["mountPath"])


@pytest.mark.parametrize("target", ["all", "candidates", "weights"])
def test_pods_can_make_every_target(painted: Painted, target: str) -> None:
    """Its files are named relative to the checkout, or they would be looked for elsewhere."""
    painted.run(target, "--dry-run")


def test_the_next_run_repeats_what_an_edit_concerns_and_no_more(painted: Painted) -> None:
    target = "results/lake/candidates.png"
    assert "Nothing to be done" in painted.run(target, "--dry-run")
    assert "Nothing to be done" in painted.project.snakemake("--dry-run", target).stdout
    painted.project.edit("4", "lake", "seed")
    said = painted.run(target, "--dry-run")
    assert "Params have changed" in said
    assert {rule for rule in NETWORKS if f"rule {rule}:" in said} == {"thumbnails", "upsampled"}


def test_manifests_hold_no_field_that_kubernetes_does_not_know() -> None:
    client = kubernetes.client.ApiClient()
    for kind, manifest in manifests().items():
        answer = SimpleNamespace(data=json.dumps(manifest))
        known = client.sanitize_for_serialization(client.deserialize(answer, f"V1{kind}"))
        assert known == manifest, kind
