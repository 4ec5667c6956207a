"""Fetching model files from servers that misbehave: real HTTP on 127.0.0.1, no internet.

Each test tells a server how to answer each request in turn and looks at what is on disk after.
"""

import contextlib
import hashlib
import http.server
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
import yaml

from bigart.errors import UserError
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.options import RRDBNetOptions
from bigart.weights import download
from bigart.weights.download import fetch
from bigart.weights.table import ROLES, ModelFile
from projects import add_models

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BREAK = 18 * download.CHUNK
SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"


@dataclass
class Server:
    """A server on 127.0.0.1. ``answers[path]`` are used up one by one; the last one stays."""

    url: str = ""
    answers: dict[str, list[Callable[["Handler"], None]]] = field(default_factory=dict)
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    body_bytes_sent: int = 0

    def serve(self, path: str, *answers: Callable[["Handler"], None]) -> str:
        self.answers[path] = list(answers)
        return self.url + path


class Handler(http.server.BaseHTTPRequestHandler):
    state: Server

    def do_GET(self) -> None:
        server = self.state
        path = self.path.partition("?")[0]
        server.requests.append((path, self.headers["Range"], self.headers["If-Range"]))
        answers = server.answers.get(path, [status(404)])
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def send(self, code: int, body: bytes, announced: int | None = None, **headers: str) -> None:
        """Send an answer whose announced length may be a lie."""
        self.send_response(code)
        if announced != -1:
            self.send_header("Content-Length", str(len(body) if announced is None else announced))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.state.body_bytes_sent += len(body)
        with contextlib.suppress(ConnectionError):  # who asked may hang up
            self.wfile.write(body)
            self.wfile.flush()


def whole(
    content: bytes = CONTENT, etag: str = '"v1"', breaks_after: int | None = None
) -> Callable[[Handler], None]:
    """A well-behaved answer (ranges, If-Range, 416) that may break off in the middle."""

    def answer(handler: Handler) -> None:
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "")
        if asked and handler.headers["If-Range"] in (None, etag):
            start = int(asked[1])
        if start >= len(content):
            handler.send(416, b"", Content_Range=f"bytes */{len(content)}")
            return
        body = content[start:]
        headers = {"ETag": etag} if etag else {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.send(206 if start else 200, body[:breaks_after], len(body), **headers)

    return answer


def no_ranges(breaks_after: int | None = None) -> Callable[[Handler], None]:
    return lambda handler: handler.send(200, CONTENT[:breaks_after], len(CONTENT))


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.send(code, b"no", **headers)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "RETRIES", download.RETRIES.new(total=2, backoff_factor=0.01))
    state = Server()
    handler = type("Bound", (Handler,), {"state": state})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        state.url = f"http://127.0.0.1:{http_server.server_port}"
        thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))
        thread.start()
        yield state
        http_server.shutdown()
        thread.join()


def entry(*urls: str, known: bool = True, **changes: object) -> ModelFile:
    """A model file of CONTENT; ``known`` is whether its hash and size are published."""
    facts = {"sha256": SHA256, "bytes": len(CONTENT)} if known else {}
    return ModelFile(name="thing", architecture="merges", urls=urls, **{**facts, **changes})  # type: ignore[arg-type]


def part_of(weights: Path, content: bytes) -> Path:
    """What an earlier run fetched of it."""
    part = weights / "downloads" / "thing.pth.part"
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(content)
    return part


def left(weights: Path) -> set[str]:
    """What a user sees under weights/ (locks are hidden files)."""
    return {p.name for p in weights.rglob("*") if p.is_file() and not p.name.startswith(".")}


def refused(file: ModelFile, weights: Path) -> str:
    with pytest.raises(UserError) as caught:
        fetch(file, weights)
    assert not file.download_path(weights).exists()
    return str(caught.value)


def test_a_file_is_fetched_once_and_verified_ever_after(server, tmp_path, caplog):
    file = entry(server.serve("/BSRGAN.pth", whole()))
    with caplog.at_level(logging.INFO, "bigart"):
        path = fetch(file, tmp_path)
    assert path == tmp_path / "downloads" / "thing.pth"
    assert path.read_bytes() == CONTENT
    assert re.search(r"thing: 0\.\d MB of 1\.0 MB, .* MB/s, (\d+ min )?\d+ s left", caplog.text)
    assert re.search(r"thing: 1\.0 MB of 1\.0 MB, done in \d+ s", caplog.text)
    assert "licence" in caplog.text
    assert fetch(file, tmp_path) == path
    assert len(server.requests) == 1
    assert left(tmp_path) == {"thing.pth"}

    path.write_bytes(CONTENT[:-1] + b"x")  # damaged on the disk
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_broken_download_resumes_where_it_stopped(server, tmp_path):
    url = server.serve("/a.pth", whole(breaks_after=BREAK), whole(breaks_after=2 * BREAK), whole())
    assert fetch(entry(url), tmp_path).read_bytes() == CONTENT
    ranges = [asked for _, asked, _ in server.requests]
    assert ranges == [None, f"bytes={BREAK}-", f"bytes={3 * BREAK}-"]
    assert server.requests[1][2] == '"v1"'  # If-Range: only if it is still the same file
    assert server.body_bytes_sent == len(CONTENT)  # no byte travelled twice


@pytest.mark.parametrize("known", [True, False])
def test_a_later_run_resumes_where_an_earlier_one_gave_up(server, tmp_path, known):
    url = server.serve("/a.pth", whole(breaks_after=BREAK), status(503))
    assert "Run again to resume where it stopped" in refused(entry(url, known=known), tmp_path)
    assert left(tmp_path) == {"thing.pth.part", "thing.pth.part.json"}
    server.serve("/a.pth", whole())
    assert fetch(entry(url, known=known), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1] == f"bytes={BREAK}-"
    assert "thing.pth.part" not in left(tmp_path)


def test_a_mirror_takes_over_in_the_middle_when_the_hash_is_known(server, tmp_path):
    first = server.serve("/a.pth", whole(breaks_after=2 * BREAK), status(500))
    second = server.serve("/b.pth", whole(etag='"another"'))
    assert fetch(entry(first, second), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("/b.pth", f"bytes={2 * BREAK}-", None)


def test_a_server_without_ranges_is_read_from_the_start(server, tmp_path):
    url = server.serve("/a.pth", no_ranges(BREAK), no_ranges())
    assert fetch(entry(url), tmp_path).read_bytes() == CONTENT
    assert server.requests[1][1] == f"bytes={BREAK}-"


def test_a_server_that_always_breaks_at_the_same_place_is_given_up(server, tmp_path):
    url = server.serve("/a.pth", no_ranges(BREAK))
    assert re.search(r"IncompleteRead|broke off", refused(entry(url), tmp_path))
    assert len(server.requests) == 1 + download.RETRIES.total  # the first one gained bytes


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_changes_between_requests_is_not_mixed(server, tmp_path, known):
    old = b"o" * len(CONTENT)
    url = server.serve("/a.pth", whole(old, '"old"', BREAK), whole(CONTENT, '"new"'))
    assert fetch(entry(url, known=known), tmp_path).read_bytes() == CONTENT


def test_a_change_that_the_server_does_not_tell_shows_in_the_hash(server, tmp_path):
    old = b"o" * len(CONTENT)
    url = server.serve("/a.pth", whole(old, "", BREAK), whole(CONTENT, ""))
    assert fetch(entry(url), tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked, _ in server.requests] == [None, f"bytes={BREAK}-", None]


def test_answer_416_means_whole_or_from_the_start(server, tmp_path):
    url = server.serve("/a.pth", whole())
    part_of(tmp_path, CONTENT)  # killed between the last byte and the renaming
    fetch(entry(url), tmp_path).unlink()
    assert server.body_bytes_sent == 0
    part_of(tmp_path, CONTENT[:BREAK])
    server.serve("/a.pth", status(416), whole())
    assert fetch(entry(url), tmp_path).read_bytes() == CONTENT


def test_a_part_from_who_knows_where_is_not_used_without_a_hash(server, tmp_path):
    url = server.serve("/a.pth", whole())
    part_of(tmp_path, b"rubbish")
    assert fetch(entry(url, known=False), tmp_path).read_bytes() == CONTENT
    assert server.requests[0][1] is None


def test_the_wrong_part_of_a_range_answer_is_refused(server, tmp_path):
    def other_part(handler: Handler) -> None:
        total = len(CONTENT)
        handler.send(206, CONTENT[7:], Content_Range=f"bytes 7-{total - 1}/{total}", ETag='"v1"')

    url = server.serve("/a.pth", whole(breaks_after=BREAK), other_part, whole())
    assert fetch(entry(url), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1] is None


def test_a_missing_file_sends_to_the_next_mirror_at_once(server, tmp_path):
    codes = (401, 403, 404, 410)
    urls = [server.serve(f"/{code}.pth", status(code)) for code in codes]
    file = entry(*urls, server.serve("/b.pth", whole()))
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    paths = [path for path, _, _ in server.requests]
    assert paths == [*(f"/{code}.pth" for code in codes), "/b.pth"]


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, tmp_path, code):
    url = server.serve("/a.pth", status(code, Retry_After="0"), status(code), whole())
    assert fetch(entry(url), tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_server_may_not_ask_for_a_day_of_patience(server, tmp_path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    url = server.serve("/a.pth", status(503, Retry_After="86400"), whole())
    fetch(entry(url), tmp_path)
    assert waits == [60]


def test_a_web_page_in_place_of_the_file(server, tmp_path):
    page = b"\n<!DOCTYPE html><html><body>Please log in</body></html>"
    url = server.serve("/a.pth", lambda handler: handler.send(200, page, -1))
    assert "a web page in place of the file" in refused(entry(url), tmp_path)
    assert left(tmp_path) == set()


def test_when_every_address_fails_each_error_is_reported(server, tmp_path):
    urls = [
        server.serve("/a.pth", status(404)),
        server.serve("/b.pth", whole(b"x" * len(CONTENT))),
        "http://127.0.0.1:9/c.pth",
    ]
    message = refused(entry(*urls), tmp_path)
    assert "404 Client Error" in message
    assert "another file than `thing` (correct the entry, or remove the file): its" in message
    assert "Connection refused" in message
    assert f"put it at {tmp_path}/downloads/thing.pth" in message
    assert [path for path, _, _ in server.requests] == ["/a.pth", "/b.pth"]
    assert left(tmp_path) == set()


def test_a_server_that_says_nothing(server, tmp_path, monkeypatch):
    released = threading.Event()
    url = server.serve("/a.pth", lambda _: released.wait(5) and None)
    monkeypatch.setattr(download, "TIMEOUT", (1.0, 0.1))
    assert "Read timed out" in refused(entry(url), tmp_path)
    assert len(server.requests) == 3
    released.set()


@pytest.mark.parametrize(
    ("change", "stated", "unknown"),
    [
        (100, "another file: 1,048,676 bytes, expected 1,048,576", "IncompleteRead"),
        (-100, "another file: 1,048,476 bytes, expected 1,048,576", "its sha256 is"),
    ],
)
def test_lengths_that_are_announced_wrongly(server, tmp_path, change, stated, unknown):
    """All bytes are there, yet the server promised more or fewer of them."""
    url = server.serve("/a.pth", lambda h: h.send(200, CONTENT, len(CONTENT) + change))
    assert stated in refused(entry(url), tmp_path)
    assert unknown in refused(entry(url, bytes=None), tmp_path)


def test_no_length_at_all(server, tmp_path):
    bodies = [CONTENT[:1000], CONTENT]
    url = server.serve("/a.pth", lambda handler: handler.send(200, bodies.pop(0), -1))
    assert fetch(entry(url), tmp_path).read_bytes() == CONTENT


def test_more_bytes_than_the_file_has_are_not_stored(server, tmp_path):
    url = server.serve("/a.pth", lambda h: h.send(200, CONTENT * 8, -1))
    assert "more than the expected" in refused(entry(url), tmp_path)
    assert left(tmp_path) == set()


def network(path: Path) -> bytes:
    """A small RRDBNet as torch.save writes it."""
    torch.save(RRDBNet(RRDBNetOptions(4, 8, 1, 4)).state_dict(), path)
    return path.read_bytes()


def test_an_unknown_hash_is_pinned_at_the_first_good_fetch(server, tmp_path):
    content = bytearray(network(tmp_path / "source.pt"))
    url = server.serve("/a.pt", lambda h: h.send(200, bytes(content)))
    file = ModelFile(name="thing", architecture="rrdbnet", urls=(url,))
    content[len(content) // 2] ^= 1
    assert "wrong check sum" in refused(file, tmp_path)
    content[len(content) // 2] ^= 1
    glide = file.model_copy(update={"architecture": "glide"})
    assert re.search(r"is an RRDBNet .* not a GLIDE", refused(glide, tmp_path))
    assert left(tmp_path) == {"source.pt"}

    path, pins = fetch(file, tmp_path), tmp_path / "pins.json"
    digest = hashlib.sha256(content).hexdigest()
    facts = {"sha256": digest, "bytes": len(content), "urls": [url]}
    assert json.loads(pins.read_text()) == {"thing": facts}
    assert fetch(file, tmp_path) == path

    path.unlink()
    content[:] = network(tmp_path / "other.pt")  # as good, and not the same
    moved = file.model_copy(update={"urls": (server.serve("/b.pt", whole(bytes(content))),)})
    for other in (file, moved):  # the pin is the name's
        assert re.search(r"pins\.json \(to accept another, .* says", refused(other, tmp_path))
    pins.write_text("{")
    assert re.search(r"pins\.json is damaged .* Remove it", refused(moved, tmp_path))
    pins.write_text("{}")
    assert fetch(moved, tmp_path).read_bytes() == content


def test_room_on_the_disk_is_checked_before_the_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    message = refused(entry(server.serve("/a.pth", whole())), tmp_path)
    assert re.search(r"needs 68\.2 MB more in .*, where 0\.0 MB are free", message)


def test_a_disk_that_fills_up(server, tmp_path):
    part = part_of(tmp_path, b"")
    part.unlink()
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):  # the command says that the disk is full
        fetch(entry(server.serve("/a.pth", whole())), tmp_path)
    assert part.is_symlink()


def test_a_wrong_file_goes_when_the_right_one_is_there(server, tmp_path):
    file = entry(server.serve("/a.pth", status(404)))
    path = file.download_path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"one of another entry")
    with pytest.raises(UserError):
        fetch(file, tmp_path)
    assert path.read_bytes() == b"one of another entry"
    server.serve("/a.pth", whole())
    assert fetch(file, tmp_path).read_bytes() == CONTENT


@pytest.mark.exhaustive
def test_forced_reruns_work_offline(server, tiny):
    """The models that are there are checked, converted anew, and never removed."""
    state = tiny.folder / "enlarger.pth"
    tensors = safetensors.torch.load_file(tiny.folder / "models/embedded/enlarger.safetensors")
    torch.save(tensors, state)
    words = tiny.folder / "models/embedded/vocab.bpe"
    url = server.serve("/enlarger.pth", whole(state.read_bytes()))
    files = {
        "far-enlarger": {"architecture": "rrdbnet", "urls": [url]},
        "far-merges": {
            "architecture": "merges",
            "urls": [server.serve("/vocab.bpe", whole(words.read_bytes()))],
            "sha256": hashlib.sha256(words.read_bytes()).hexdigest(),
        },
    }
    add_models(tiny.folder, files, enlarger="far-enlarger", merges="far-merges")
    mine = ["--config", "models=mine"]
    tiny.snakemake("weights", *mine)
    names = ("downloads/far-enlarger.pth", "downloads/far-merges.bpe", "far-enlarger.safetensors")
    before = {(path := tiny.folder / "weights" / name): path.read_bytes() for name in names}

    def expect_all() -> None:
        assert {path: path.read_bytes() for path in before} == before
        assert not {job for job in tiny.jobs(*mine) if "far" in job}

    asked = len(server.requests)
    server.answers.clear()  # whoever asks gets 404
    tiny.snakemake("weights", "--forceall", *mine)
    expect_all()
    assert len(server.requests) == asked
    # even where a download was removed to save room, and cannot be had again
    download_path = next(iter(before))
    download_path.unlink()
    assert tiny.snakemake("weights", "--forcerun", "fetch", *mine, check=False).returncode != 0
    download_path.write_bytes(before[download_path])
    expect_all()


def test_many_at_once_fetch_once(server, tmp_path):
    file = entry(server.serve("/a.pth", whole()))
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: fetch(file, tmp_path).read_bytes(), range(6)))
    assert found == [CONTENT] * 6
    assert len(server.requests) == 1


def test_local_files_are_checked_and_stay_where_they_are(tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(CONTENT)
    assert fetch(entry(path=path), tmp_path) == path
    message = f"its sha256 is {SHA256}; its entry in models.yaml says {'0' * 64}"
    with pytest.raises(UserError, match=message):
        fetch(entry(path=path, sha256="0" * 64), tmp_path)
    assert path.exists()


SNAKEFILE = f"""
import re
from pathlib import Path
from bigart.running import environment
from bigart.weights import table
environment.export(Path({str(SCRIPTS)!r}), Path("models.yaml").resolve())
WEIGHTS, MODELS = "weights", {{"enlarger": table.read_models("models.yaml").file("thing")}}
source = lambda file: str(file.source_path(WEIGHTS))
grows = lambda limit: limit
rule all:
    input: MODELS["enlarger"].final_path(WEIGHTS)
include: {str(SCRIPTS.parent / "rules" / "weights.smk")!r}
"""


@pytest.mark.exhaustive
def test_the_rules_fetch_a_file_once_however_its_entry_is_edited(server, tmp_path):
    content = network(tmp_path / "first.pt")
    (tmp_path / "Snakefile").write_text(SNAKEFILE)

    def run(**changes: object) -> str:
        """Run with an edited entry; returns what was said, with a + for each job that ran."""
        facts = {"urls": [server.serve("/first.pt", whole(content))], **changes}
        (tmp_path / "models.yaml").write_text(table(thing={"architecture": "rrdbnet", **facts}))
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--show-failed-logs"]
        environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        said = done.stdout + done.stderr
        jobs = re.findall(r"^(?:local)?rule (fetch|convert):", said, re.MULTILINE)
        return "".join(f"+{rule} " for rule in jobs) + (said if done.returncode else "")

    assert run() == "+fetch +convert "
    mirror = server.serve("/mirror.pt", status(404))
    digest = hashlib.sha256(content).hexdigest()
    assert run(urls=[mirror], options={"blocks": 1}, sha256=digest) == "+convert "
    said = run(sha256="0" * 64)
    assert said.startswith("+convert ")
    assert "(correct the entry, or remove the file): its sha256 is" in said


def table(**entries: dict[str, object]) -> str:
    """A table of models with these entries, and a set that is not used."""
    files = {role: {"architecture": kinds[0], "path": "x"} for role, kinds in ROLES.items()}
    sets = {"all": {role: role for role in ROLES}}
    return yaml.safe_dump({"sets": sets, "files": {**files, **entries}})


def test_the_command(server, tmp_path):
    """A killed download leaves no final file; the command's next run completes it."""
    slow = threading.Event()

    def stalls(handler: Handler) -> None:
        handler.send(200, CONTENT[: 2 * BREAK], len(CONTENT), ETag='"v1"')
        slow.wait(20)

    url = server.serve("/a.pth", stalls, whole())
    facts = {"urls": [url], "sha256": SHA256, "bytes": len(CONTENT)}
    (tmp_path / "models.yaml").write_text(table(thing={"architecture": "rrdbnet", **facts}))
    command = [sys.executable, str(SCRIPTS / "fetch_weights.py"), "thing"]
    command += ["--models", str(tmp_path / "models.yaml"), "--weights", str(tmp_path / "w")]

    part = tmp_path / "w" / "downloads" / "thing.pth.part"
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not (part.exists() and part.stat().st_size >= BREAK):
        assert process.poll() is None
        threading.Event().wait(0.01)
    process.kill()
    process.wait()
    slow.set()
    assert not part.with_suffix("").exists()

    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "w" / "downloads" / "thing.pth")
    assert Path(done.stdout.strip()).read_bytes() == CONTENT
    assert re.fullmatch(r"bytes=\d{6}-", server.requests[-1][1] or "")  # not from the start
