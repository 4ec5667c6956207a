"""Where a Python package index has the wheel that an entry of the table names.

The indexes are those that ``pip download`` would ask: of the environment (``PIP_INDEX_URL``,
``PIP_EXTRA_INDEX_URL``) and of pip's configuration files. The form of their pages: PEP 503 (HTML)
and PEP 691 (JSON), packaging.python.org/specifications/simple-repository-api.
"""

import configparser
import os
import re
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import requests

from bigart.errors import UserError

PYPI = "https://pypi.org/simple"
_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_HASH = "sha256="


def settings() -> dict[str, str]:
    """Return pip's settings: those of the environment before those of its files."""
    found: dict[str, str] = {}
    for path in _files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            raise UserError(f"pip's configuration {path} cannot be read: {error}") from None
        for section in ("global", "download"):
            if parser.has_section(section):
                found |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            found[name[4:].lower().replace("_", "-")] = value
    return found


def addresses(package: str, sha256: str, session: requests.Session) -> list[str]:
    """Return the addresses of the wheel with a hash, the likeliest first.

    Args:
        package: ``NAME==VERSION``.
        sha256: Of its wheel. An index that states none gives all wheels of the version.
        session: For the requests.

    Raises:
        UserError: No index has it, with what each said.
    """
    name, _, version = package.partition("==")
    pip, said = settings(), []
    indexes = [pip.get("index-url", PYPI), *pip.get("extra-index-url", "").split()]
    for index in dict.fromkeys(indexes):
        if not re.match("https?://", index):
            continue
        page = f"{index.rstrip('/')}/{_normal(name)}/"
        try:
            answer = session.get(page, headers={"Accept": _ACCEPT}, timeout=(15, 60))
            answer.raise_for_status()
            found = list(_wheels(answer, name, version))
        except (requests.RequestException, ValueError, LookupError, TypeError) as error:
            said.append(f"{shown(page)}: {shown(str(error))}")
            continue
        if wheels := [url for url, digest in found if digest in (sha256, "")]:
            return [_with_login(url, page) for url in wheels]
        others = f"with the SHA-256 {found[0][1]}" if found else "not there"
        said.append(f"{shown(page)}: a wheel of version {version} is {others}")
    raise UserError(
        "\n  ".join([f"no package index has {package} with the SHA-256 {sha256}:", *said])
    )


def certificates() -> str | None:
    """Return pip's file of certificates, where requests is told of none.

    Raises:
        UserError: It is not there.
    """
    if os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        return None
    path = settings().get("cert")
    if path and not Path(path).exists():
        raise UserError(f"the certificates that pip's `cert` names are missing: {path}")
    return path


def shown(text: str) -> str:
    """Return a text without the logins of the addresses in it."""
    return re.sub(r"(?<=//)[^/@\s]+@", "", text)


def _files() -> Iterator[Path]:
    """Yield pip's configuration files; of a setting, the last one that has it counts."""
    own = os.environ.get("PIP_CONFIG_FILE", "")
    if own == os.devnull:
        return
    home = Path.home()
    for folder in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep):
        yield Path(folder, "pip/pip.conf")
    yield Path("/etc/pip.conf")
    yield home / ".pip/pip.conf"
    yield Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "pip/pip.conf")
    yield Path(sys.prefix, "pip.conf")
    if own:
        yield Path(own)


def _wheels(answer: requests.Response, name: str, version: str) -> Iterator[tuple[str, str]]:
    """Yield address and SHA-256 (empty: not stated) of each wheel of a version."""
    for file, url, digest in _json(answer) if "json" in _kind(answer) else _html(answer):
        parts = file.removesuffix(".whl").split("-")
        if file.endswith(".whl") and (_normal(parts[0]), parts[1]) == (_normal(name), version):
            yield urljoin(answer.url, url), digest


def _kind(answer: requests.Response) -> str:
    return answer.headers.get("Content-Type", "")


def _json(answer: requests.Response) -> Iterator[tuple[str, str, str]]:
    for file in answer.json()["files"]:
        hashes: Mapping[str, str] = file.get("hashes", {})
        yield file["filename"], file["url"], hashes.get("sha256", "")


def _html(answer: requests.Response) -> Iterator[tuple[str, str, str]]:
    for address in _Links.of(answer.text):
        url, fragment = urldefrag(address)
        digest = fragment.removeprefix(_HASH) if fragment.startswith(_HASH) else ""
        yield unquote(urlsplit(url).path.rpartition("/")[2]), url, digest


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where a link leads."""
        if tag == "a" and (address := dict(attrs).get("href")):
            self.found.append(address)

    @classmethod
    def of(cls, text: str) -> list[str]:
        parser = cls()
        parser.feed(text)
        return parser.found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _with_login(url: str, page: str) -> str:
    """Return an address with the index's login, if it is on the same host."""
    login, at, host = urlsplit(page).netloc.rpartition("@")
    parts = urlsplit(url)
    return parts._replace(netloc=f"{login}@{host}").geturl() if at and parts.netloc == host else url
