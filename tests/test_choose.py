"""Choosing in the gallery: the page's requests, what they write, and hostile ones."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bigart.commands import gallery_server
from bigart.commands.gallery_server import HOST, GalleryServer, listen
from bigart.config import artworks, project
from bigart.config.choices import Choices
from bigart.config.options import Config
from bigart.errors import UserError
from projects import ROOT

TABLE = '# mine\r\nartwork\tprompt\tseed\r\nlake\t"a lake"\r\nsea\tthe sea\t7\r\n'
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a table and a gallery."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("candidates: 7\n")
    (tmp_path / "config/prompts.tsv").write_bytes(TABLE.encode())
    gallery = tmp_path / "results/gallery"
    (gallery / "lake").mkdir(parents=True)
    (gallery / "index.html").write_text("<h1>Gallery</h1>")
    (gallery / "page.js").write_text("1")
    (gallery / "lake/1.jpg").write_bytes(b"picture")
    (tmp_path / "results/secret.txt").write_text("secret")
    return tmp_path


@pytest.fixture
def table(folder: Path) -> Path:
    return folder / "config/prompts.tsv"


@pytest.fixture
def server(folder: Path, table: Path) -> Iterator[GalleryServer]:
    choices = Choices(table, Config(candidates=7))
    with GalleryServer(folder / "results/gallery", choices, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Answer(SimpleNamespace):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    server: GalleryServer,
    method: str,
    place: str,
    body: object = None,
    headers: dict[str, str] | None = None,
    whole: bool = False,
) -> Answer:
    """Send a request below the token, or to a whole path."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=10)
    content = json.dumps(body).encode() if isinstance(body, dict | list) else body
    path = place if whole else f"/{server.token}/{place}"
    connection.request(
        method, path, content, {**(JSON if body is not None else {}), **(headers or {})}
    )
    response = connection.getresponse()
    answer = Answer(status=response.status, headers=response.headers, body=response.read())
    connection.close()
    return answer


def choose(server: GalleryServer, artwork: str, number: int) -> Answer:
    return ask(server, "POST", "api/choose", {"artwork": artwork, "choose": number})


def talk(server: GalleryServer, text: str) -> bytes:
    """Send these very bytes; return all that comes back."""
    with socket.create_connection((HOST, server.server_port), timeout=10) as connection:
        connection.sendall(text.replace("TOKEN", server.token).encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# What the page does


def test_the_page_and_its_files(server):
    page = ask(server, "GET", "index.html")
    assert (page.status, page.body) == (200, b"<h1>Gallery</h1>")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    kinds = {"page.js?v=1": "text/javascript; charset=utf-8", "lake/1.jpg": "image/jpeg"}
    for place, kind in kinds.items():
        found = ask(server, "GET", place)
        assert (found.status, found.headers["Content-Type"]) == (200, kind)
    for place in ("", f"/{server.token}"):
        found = ask(server, "GET", place, whole=bool(place))
        assert (found.status, found.headers["Location"]) == (302, f"/{server.token}/index.html")


def test_a_browser_that_asks_for_an_icon_gets_none_and_no_error(server):
    assert ask(server, "GET", "/favicon.ico", whole=True).status == 204


def test_a_file_is_sent_again_only_when_it_has_changed(server, folder):
    found = ask(server, "GET", "lake/1.jpg")
    assert found.headers["Cache-Control"] == "private, no-cache"
    known = {"If-None-Match": found.headers["ETag"]}
    assert (again := ask(server, "GET", "lake/1.jpg", headers=known)).status == 304
    assert again.body == b""
    (folder / "results/gallery/lake/1.jpg").write_bytes(b"another picture")
    assert ask(server, "GET", "lake/1.jpg", headers=known).body == b"another picture"


def test_head_is_get_without_the_body(server):
    for place in ("lake/1.jpg", "api/state", "none.jpg"):
        head, get = (ask(server, method, place) for method in ("HEAD", "GET"))
        assert (head.status, head.body) == (get.status, b"")
        assert head.headers["Content-Length"] == str(len(get.body))


def test_a_choice_is_written_and_undone(server, table):
    state = ask(server, "GET", "api/state")
    assert state.headers["Cache-Control"] == "no-store"
    assert state.json == {"choices": {"lake": 1, "sea": 1}, "fixed": {}, "undo": None}
    new = choose(server, "lake", 3)
    assert new.status == 200
    assert new.json == {
        "choices": {"lake": 3, "sea": 1},
        "fixed": {},
        "undo": {"artwork": "lake", "choose": 1},
    }
    chosen = TABLE.replace("seed", "seed\tchoose").replace('"a lake"', '"a lake"\t\t"3"')
    assert table.read_bytes().decode() == chosen.replace('"3"', "3")
    choose(server, "sea", 2)
    assert choose(server, "sea", 2).json["undo"] == {"artwork": "sea", "choose": 1}
    for expected in ({"artwork": "lake", "choose": 1}, None):
        assert ask(server, "POST", "api/undo", {}).json["undo"] == expected
    assert table.read_bytes().decode() == TABLE
    nothing = ask(server, "POST", "api/undo", {})
    assert (nothing.status, nothing.json) == (409, {"error": "there is no choice to undo"})


def test_a_choice_that_is_what_the_config_says_is_written_too(server, table):
    choose(server, "sea", 1)
    assert "sea\tthe sea\t7\t1\r\n" in table.read_bytes().decode()


def test_a_table_that_changed_meanwhile_is_left_alone_until_it_has_been_looked_at(server, table):
    choose(server, "sea", 2)
    edited = table.read_bytes() + b"hill\ta hill\r\n"
    table.write_bytes(edited)
    for refused in (choose(server, "lake", 3), ask(server, "POST", "api/undo", {})):
        assert refused.status == 409
        assert "has changed meanwhile, and is left as it is." in refused.json["error"]
    assert table.read_bytes() == edited
    state = ask(server, "GET", "api/state").json
    assert (state["choices"]["hill"], state["undo"]) == (1, None)
    assert choose(server, "lake", 3).status == 200


@pytest.mark.parametrize(
    ("artwork", "number", "said"),
    [
        ("lake", 8, "`candidates` is 7."),
        ("lake", 0, "column `choose`: found '0'"),
        ("laek", 1, "no artwork `laek`. Did you mean `lake`?"),
        ("\ud800\x1b", 1, "no artwork `\\ud800\\x1b`"),
    ],
)
def test_choices_that_cannot_be(server, table, artwork, number, said):
    refused = choose(server, artwork, number)
    assert refused.status == 409
    assert said in refused.json["error"]
    assert table.read_bytes().decode() == TABLE


def test_a_table_with_errors_is_left_alone(server, table):
    table.write_text("artwork\tprompt\tseed\nlake\ta lake\tx\nsea\tthe sea\t1\n")
    state = ask(server, "GET", "api/state").json
    assert "column `seed`: found 'x'" in state["fixed"]["sea"]
    for artwork in ("lake", "sea"):
        refused = choose(server, artwork, 2)
        assert refused.status == 409
        assert "left alone until they are corrected" in refused.json["error"]


def test_a_sweep_is_left_alone(server, table, monkeypatch):
    def read(*_: object) -> Any:
        art = SimpleNamespace(choose=1, sweep="lake")
        return {"lake-seed-1": art, "sea": SimpleNamespace(choose=1, sweep="")}, []

    monkeypatch.setattr(artworks, "read", read)
    assert ask(server, "GET", "api/state").json["fixed"].keys() == {"lake-seed-1", "lake"}
    for artwork in ("lake-seed-1", "lake"):
        refused = choose(server, artwork, 2)
        assert refused.status == 409
        assert "the row `lake` is a sweep" in refused.json["error"]
    assert table.read_bytes().decode() == TABLE


def test_a_table_that_cannot_be_written_or_is_gone(server, table, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused = choose(server, "lake", 2)
    assert (refused.status, refused.json["error"]) == (500, f"permission denied: {table}")
    assert table.read_bytes().decode() == TABLE
    table.unlink()
    refused = ask(server, "GET", "api/state")
    assert refused.json["error"] == f"no such file or directory: {table}"


def test_many_writers_at_once_lose_nothing(folder, table):
    names = [f"art-{number}" for number in range(12)]
    table.write_text("artwork\tprompt\n" + "".join(f"{name}\tx\n" for name in names))
    choices = Choices(table, Config())
    threads = [
        threading.Thread(target=choices.choose, args=(name, 2 + number % 6))
        for number, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {name: row.choose for name, row in artworks.read(table, Config())[0].items()}
    assert found == {name: 2 + number % 6 for number, name in enumerate(names)}


# What others do

END = " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0", "", "[::1]"])
def test_only_this_machine_s_names_are_answered(server, host):
    assert ask(server, "GET", "api/state", headers={"Host": host}).status == 421


def test_a_tunnel_may_have_another_port(server, table):
    tunnel = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}
    assert ask(server, "POST", "api/choose", {"artwork": "sea", "choose": 2}, tunnel).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_may_not_write(server, table, headers):
    body = {"artwork": "lake", "choose": 3}
    assert ask(server, "POST", "api/choose", body, headers).status == 403
    assert ask(server, "POST", "api/undo", {}, headers).status == 403
    assert table.read_bytes().decode() == TABLE


@pytest.mark.parametrize(
    "token", ["", "x", "..", "%00", "%ff", "\u00e9", "TOKENx", "TOKEN%20", "."]
)
def test_nothing_is_found_without_the_token(server, token):
    answer = talk(
        server, f"GET /{token}/index.html HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"Gallery" not in answer
    assert server.token.encode() not in answer


@pytest.mark.parametrize(
    "place",
    [
        "../secret.txt",
        "lake/../../secret.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "%2e%2e%2fsecret.txt",
        "..%5csecret.txt",
        "....//secret.txt",
        "%252e%252e/secret.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "out.txt",
        "outside/secret.txt",
        "loop.txt",
        "pipe.txt",
        ".hidden.txt",
        "lake",
        "lake/",
        "lake/.",
        "index.html/",
        "index.html%00.jpg",
        "%ff.jpg",
        "a" * 300,
        "a/" * 5000,
        "api",
    ],
)
def test_nothing_outside_the_gallery_is_served(server, folder, place):
    gallery = folder / "results/gallery"
    (gallery / "out.txt").symlink_to(folder / "results/secret.txt")
    (gallery / "outside").symlink_to(folder / "results")
    (gallery / "loop.txt").symlink_to(gallery / "loop.txt")
    (gallery / ".hidden.txt").write_text("secret")
    os.mkfifo(gallery / "pipe.txt")
    answer = talk(server, f"GET /TOKEN/{place}{END}")
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 405 "))
    assert b"secret" not in answer.partition(b"\r\n\r\n")[2]


def test_a_gallery_behind_a_link_and_links_within_are_served(server, folder):
    gallery = folder / "results/gallery"
    gallery.rename(folder / "elsewhere")
    gallery.symlink_to(folder / "elsewhere")
    (gallery / "link.jpg").symlink_to("lake/1.jpg")
    assert ask(server, "GET", "link.jpg").body == b"picture"


POST = "POST /TOKEN/api/choose HTTP/1.1\r\nHost: 127.0.0.1\r\n"
KIND = "Content-Type: application/json\r\n"
BODY = '{"artwork":"lake","choose":3}'


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (f"{POST}Content-Length: 29\r\n\r\n{BODY}", 415),
        (f"{POST}Content-Type: text/plain\r\nContent-Length: 29\r\n\r\n{BODY}", 415),
        (f"{POST}{KIND}\r\n{BODY}", 411),
        (f"{POST}{KIND}Content-Length: 29\r\nContent-Length: 29\r\n\r\n{BODY}", 411),
        (f"{POST}{KIND}Content-Length: 29\r\nTransfer-Encoding: chunked\r\n\r\n{BODY}", 411),
        (f"{POST}{KIND}Content-Length: -1\r\n\r\n{BODY}", 400),
        (f"{POST}{KIND}Content-Length: 1e1\r\n\r\n{BODY}", 400),
        (f"{POST}{KIND}Content-Length: {'9' * 40}\r\n\r\n{BODY}", 400),
        (f"{POST}{KIND}Content-Length: 99999999999\r\n\r\n{BODY}", 413),
        (f"{POST}{KIND}Content-Length: 5\r\n\r\n{BODY}", 400),
        (f"{POST}Host: 127.0.0.1\r\n{KIND}Content-Length: 29\r\n\r\n{BODY}", 421),
        (f"{POST.replace('1.1', '1.0')}{KIND}Content-Length: 2\r\n\r\n[]", 400),
        (f"POST /TOKEN/index.html HTTP/1.1\r\nHost: localhost\r\n{KIND}\r\n", 405),
        (f"POST /TOKEN/api/state HTTP/1.1\r\nHost: localhost\r\n{KIND}\r\n", 405),
        ("GET /TOKEN/api/choose HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("GET /TOKEN/page.js HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nGET /", 400),
        ("PUT /TOKEN/page.js HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 501),
        ("OPTIONS /TOKEN/api/choose HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        ("GET http://localhost/TOKEN/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET //TOKEN/page.js HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("GET /TOKEN/page.js HTTP/1.1\r\n\r\n", 421),
        ("GET /TOKEN/page.js HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        (f"GET /{'a' * 70_000} HTTP/1.1\r\n\r\n", 414),
        ("GET / HTTP/1.1\r\n" + "A: b\r\n" * 200 + "\r\n", 431),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 x\r\n\r\n", 400),
    ],
)
def test_requests_of_another_form_are_refused_and_write_nothing(server, table, request_, status):
    answer = talk(server, request_)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Access-Control" not in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert table.read_bytes().decode() == TABLE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 9000,
        b"null",
        b"[]",
        b'{"artwork": "lake"}',
        b'{"artwork": "lake", "choose": "3"}',
        b'{"artwork": "lake", "choose": true}',
        b'{"artwork": "lake", "choose": 3.0}',
        b'{"artwork": "lake", "choose": 3, "seed": 1}',
        b'{"artwork": ["lake"], "choose": 3}',
        b'{"artwork": "lake", "choose": ' + b"9" * 9000 + b"}",
    ],
)
def test_other_json_is_refused(server, table, body):
    assert ask(server, "POST", "api/choose", body, JSON).status == 400
    assert table.read_bytes().decode() == TABLE
    assert ask(server, "POST", "api/undo", {"artwork": "lake"}).status == 400


def test_a_body_that_breaks_off_writes_nothing(server, table):
    assert talk(server, f"{POST}{KIND}Content-Length: 40\r\n\r\n{BODY}") == b""
    assert table.read_bytes().decode() == TABLE


def test_slow_clients_are_hung_up_on_and_keep_nobody_waiting(server, monkeypatch):
    monkeypatch.setattr(gallery_server, "SECONDS_TO_ASK", 1)
    slow = [socket.create_connection((HOST, server.server_port), timeout=10) for _ in range(5)]
    for connection in slow:
        connection.sendall(b"POST /")
    began = time.monotonic()
    assert ask(server, "GET", "index.html").status == 200
    assert time.monotonic() - began < 1
    for _ in range(3):  # a byte now and then does not help
        time.sleep(0.4)
        for connection in slow:
            try:
                connection.sendall(b"a")
            except OSError:
                continue
    for connection in slow:
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            continue
        finally:
            connection.close()


def test_too_many_connections_are_hung_up_on(server, monkeypatch):
    monkeypatch.setattr(gallery_server, "MOST_CONNECTIONS", 3)
    held = [socket.create_connection((HOST, server.server_port), timeout=10) for _ in range(6)]
    try:
        assert sorted(_is_open(connection) for connection in held) == [False] * 3 + [True] * 3
    finally:
        for connection in held:
            connection.close()


def _is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.3)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def test_a_port_that_is_taken(server, folder, table):
    choices, taken = server.choices, server.server_port
    with pytest.raises(UserError, match=rf"port {taken} of 127\.0\.0\.1: address already in use"):
        listen(folder, choices, taken, 0)
    with listen(folder, choices, None, taken) as other:
        assert other.server_port != taken
        assert other.token != server.token


# The command


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    script = str(ROOT / "workflow/scripts/choose.py")
    return subprocess.Popen(
        [sys.executable, script, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_says_its_address_and_ends_with_ctrl_c(folder, table):
    running = command(folder, "--port", "0")
    assert running.stdout is not None
    host, port, token, page = (
        running.stdout.readline().strip().split("//")[1].replace(":", "/").split("/")
    )
    assert (host, page) == (HOST, "index.html")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("POST", f"/{token}/api/choose", BODY, JSON)
    assert connection.getresponse().status == 200
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=20)
    assert running.returncode == 0
    assert "lake: candidate 3 (before: 1)" in told
    assert told.endswith("Ended. `snakemake gallery --cores 8` paints what was chosen.\n")
    assert "\tchoose\r\n" in table.read_bytes().decode()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is no gallery in results/gallery: run `snakemake gallery_candidates"),
        (["--port", "70000"], "--port is 70000; allowed"),
        (["none.yaml"], "none.yaml is missing."),
    ],
)
def test_the_command_says_what_is_missing(folder, arguments, said):
    (folder / "results/gallery/index.html").unlink()
    running = command(folder, *arguments)
    _, told = running.communicate(timeout=20)
    assert (running.returncode, told.count("\n")) == (1, 1)
    assert said in told


def test_the_command_names_the_errors_of_the_table(folder, table):
    table.write_text("artwork\tprompt\tchoose\nlake\ta lake\t9\nsea\tx\tz\n")
    _, told = command(folder).communicate(timeout=20)
    assert told.startswith("choose: error: 2 errors:\n  config/prompts.tsv, line 2")


def test_the_config_s_own_table_and_results_are_taken(folder):
    config, _, errors = project.read({"table": str(folder / "config/prompts.tsv")})
    assert errors == []
    assert Choices(Path(config.table), config).look()["choices"] == {"lake": 1, "sea": 1}
