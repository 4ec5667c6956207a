"""A stand-in for a Kubernetes API server: a few endpoints, and pods that are local processes.

It answers what snakemake-executor-plugin-kubernetes asks, and refuses what a real one refuses as
far as that concerns us (the rules are those of Kubernetes' `pkg/apis/core/validation` and of its
kubelet). It has no nodes, images or scheduler: each pod runs at once, in a folder of its own, and
the path that a claim is mounted at is a folder of this machine.
"""

import base64
import json
import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"(\d+)(m|k|M|G|Ki|Mi|Gi)?")
_UNITS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
#: Exit status of a container that was killed, as for want of memory.
_KILLED = 128 + signal.SIGKILL


class RefusedError(Exception):
    """What the server answers instead of doing as it was told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Pod:
    """A Kubernetes job and its one pod. Without a process it was killed as it began."""

    body: Json
    rule: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    forgotten: bool = False

    @property
    def container(self) -> Json:
        container: Json = self.body["spec"]["template"]["spec"]["containers"][0]
        return container

    @property
    def exit_code(self) -> int | None:
        if self.process is None:
            return _KILLED
        code = self.process.poll()
        return None if code is None else code if code >= 0 else 128 - code

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=30)


@dataclass
class Cluster:
    """The server and what it was asked for.

    Args:
        folder: Where pods have their folders.
        claims: Persistent volumes that can be mounted, and where: the folder must be there.
        environment: What the image sets.
        unlucky: Rules whose next pod is killed as it starts.
        lost: Rules whose next pod is killed and forgotten, as with a node that is taken away.
    """

    folder: Path
    claims: dict[str, Path]
    environment: dict[str, str]
    unlucky: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    #: All that ever were, also those deleted since.
    pods: list[Pod] = field(default_factory=list)
    #: Names of jobs that are there now.
    jobs: dict[str, Pod] = field(default_factory=dict)
    #: What was asked for: verb, API group, resource, as a Role names them.
    asked: set[tuple[str, str, str]] = field(default_factory=set)

    def __enter__(self) -> "Cluster":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        for pod in self.pods:
            pod.end()

    def kubeconfig(self) -> Path:
        """Write and return the file that tells clients where the server is."""
        path = self.folder / "kubeconfig"
        address = f"http://127.0.0.1:{self._server.server_port}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stub", "cluster": {"server": address}}],
            "users": [{"name": "stub", "user": {}}],
            "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub"}}],
            "current-context": "stub",
        }
        path.write_text(json.dumps(config))
        return path

    def answer(self, method: str, path: str, body: Json) -> Json | str:
        """Return the answer to a request.

        Raises:
            RefusedError: The request is not allowed, or names what is not there.
        """
        url = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        kind, _, rest = url.path.partition("/namespaces/default/")
        if kind not in ("/api/v1", "/apis/batch/v1") or not rest:
            raise RefusedError(404, f"the server could not find the requested resource {path}")
        parts = rest.split("/")
        verb = {"POST": "create", "DELETE": "delete"}.get(method, "get" if parts[1:] else "list")
        group = "batch" if "batch" in kind else ""
        with self._lock:
            self.asked.add((verb, group, "/".join([parts[0], *parts[2:]])))
            match [method, *parts]:
                case ["POST", "secrets"]:
                    data = {k: base64.b64decode(v).decode() for k, v in body["data"].items()}
                    self.secrets[_checked_name(body)] = data
                    return body
                case ["DELETE", "secrets", name]:
                    return _status(self.secrets.pop(name, None), f'secrets "{name}" not found')
                case ["POST", "jobs"]:
                    return self._create(body)
                case ["GET", "jobs", name, "status"]:
                    return _job(self._found(name))
                case ["DELETE", "jobs", name]:
                    pod = self.jobs.pop(name, None)
                    if pod:
                        pod.end()
                    return _status(pod, f'jobs.batch "{name}" not found')
                case ["GET", "pods"]:
                    name = query["labelSelector"].removeprefix("job-name=")
                    job = self.jobs.get(name)
                    pods = [_pod(name, job)] if job and not job.forgotten else []
                    return {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods}
                case ["DELETE", "pods", name]:
                    return _status(self._found(name.removesuffix("-pod")), "")
                case ["GET", "pods", name, "log"]:
                    pod = self._found(name.removesuffix("-pod"))
                    if query.get("previous", "").lower() == "true":
                        # as kubelets do (validateContainerLogStatus) where nothing was restarted
                        missing = f'previous terminated container "snakemake" in pod "{name}"'
                        raise RefusedError(400, f"{missing} not found")
                    return (pod.folder / "log").read_text()
        raise RefusedError(404, f"{method} {path}: the stand-in does not know that")

    def _found(self, name: str) -> Pod:
        if name not in self.jobs:
            raise RefusedError(404, f'jobs.batch "{name}" not found')
        return self.jobs[name]

    def _create(self, body: Json) -> Json:
        name = _checked_name(body)
        if name in self.jobs:
            raise RefusedError(409, f'jobs.batch "{name}" already exists')
        spec = body["spec"]["template"]["spec"]
        faults = _faults(spec, self.claims)
        if faults:
            raise RefusedError(422, f'Job.batch "{name}" is invalid: {"; ".join(faults)}')
        container = spec["containers"][0]
        found = re.search(r"--allowed-rules (\w+)", container["args"][-1])
        rule = found[1] if found else ""
        folder = self.folder / name
        work = folder / container["workingDir"].lstrip("/")
        work.mkdir(parents=True)
        (folder / "log").touch()
        pod = Pod(body, rule, folder)
        if rule in self.unlucky:
            self.unlucky.remove(rule)
        elif rule in self.lost:
            self.lost.remove(rule)
            pod.forgotten = True
        else:
            pod.process = self._start(container, work, folder / "log")
        self.pods.append(pod)
        self.jobs[name] = pod
        return _job(pod)

    def _start(self, container: Json, work: Path, log: Path) -> subprocess.Popen[bytes]:
        environment = dict(self.environment)
        for variable in container.get("env", []):
            reference = variable["valueFrom"]["secretKeyRef"]
            environment[variable["name"]] = self.secrets[reference["name"]][reference["key"]]
        with log.open("wb") as stream:
            return subprocess.Popen(
                [*container["command"], *container["args"]],
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def quantity(text: str) -> float:
    """Return a quantity in its unit: cores, bytes, pieces.

    Raises:
        ValueError: It is none.
    """
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise ValueError(f"quantities must match the regular expression; found {text!r}")
    return int(found[1]) * _UNITS.get(found[2], 1)


def _checked_name(body: Json) -> str:
    name = body["metadata"]["name"]
    if not _NAME.fullmatch(name):
        raise RefusedError(422, f"metadata.name: Invalid value: {name!r}")
    return str(name)


def _faults(spec: Json, claims: dict[str, Path]) -> list[str]:
    """Return what a real API server, or a real node, would not take."""
    faults = []
    if spec.get("restartPolicy") not in ("Never", "OnFailure"):
        faults.append("spec.template.spec.restartPolicy: Required value")
    if len(spec["containers"]) != 1:
        faults.append("the stand-in runs one container")
    container = spec["containers"][0]
    if not container.get("image"):
        faults.append("spec.template.spec.containers[0].image: Required value")
    faults += _resource_faults(container.get("resources", {}))
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        claim = volumes.get(mount["name"], {}).get("persistentVolumeClaim")
        if mount["name"] not in volumes:
            faults.append(f"volumeMounts: Not found: {mount['name']!r}")
        elif claim and claims.get(claim["claimName"]) != Path(mount["mountPath"]):
            faults.append(f"no claim {claim['claimName']!r} for {mount['mountPath']}")
    return faults


def _resource_faults(resources: Json) -> list[str]:
    """Return the faults of requests and limits (validateContainerResourceRequirements)."""
    faults = []
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for resource, text in [*requests.items(), *limits.items()]:
        try:
            quantity(text)
        except (TypeError, ValueError) as error:
            faults.append(f"{resource}: {error}")
    for resource, request in requests.items():
        device = "/" in resource
        limit = limits.get(resource)
        if device and limit is None:
            faults.append(f"{resource}: Limit must be set for non overcommitable resources")
        elif device and request != limit:
            faults.append(f"{resource}: must be equal to {resource} limit of {limit}")
        elif limit is not None and quantity(request) > quantity(limit):
            faults.append(f"{resource}: must be less than or equal to {resource} limit of {limit}")
    return faults


def _job(pod: Pod) -> Json:
    count = {None: "active", 0: "succeeded"}.get(pod.exit_code, "failed")
    metadata = {"name": pod.body["metadata"]["name"], "namespace": "default"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": pod.body["spec"],
        "status": {count: 1},
    }


def _pod(job: str, pod: Pod) -> Json:
    code = pod.exit_code
    state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
    container = {
        "name": pod.container["name"],
        "image": pod.container["image"],
        "imageID": "",
        "ready": code is None,
        "restartCount": 0,
        "state": state,
    }
    return {
        "metadata": {"name": f"{job}-pod", "namespace": "default", "labels": {"job-name": job}},
        "spec": pod.body["spec"]["template"]["spec"],
        "status": {"containerStatuses": [container]},
    }


def _status(found: object, message: str) -> Json:
    if found is None:
        raise RefusedError(404, message)
    return {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"}


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, answer = 200, b""
            kind = "application/json"
            try:
                found = cluster.answer(self.command, self.path, body)
                if isinstance(found, str):
                    kind, answer = "text/plain", found.encode()
                else:
                    answer = json.dumps(found).encode()
            except RefusedError as refusal:
                status = refusal.status
                problem = {"kind": "Status", "status": "Failure", "message": str(refusal)}
                answer = json.dumps(problem | {"code": status}).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    return Handler
