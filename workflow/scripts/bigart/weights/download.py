"""Downloads of model files: resumed after a break, checked, whole or absent.

A download grows as ``NAME.part`` beside a note of where it comes from (``NAME.part.json``). It gets
its final name when size and hash are right. Where no hash is published, the archive's CRCs, the
names and shapes of its tensors and their values are checked, and its hash is pinned in
``weights/pins.json``: every later download must be the same file, whichever address it comes from.

HTTP: RFC 9110, sections 13.1.5 (If-Range), 14 (ranges) and 15.5.17 (416).
"""

import contextlib
import errno
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, ProtocolError
from urllib3.util import Retry

from bigart.errors import UserError
from bigart.running import files
from bigart.running.progress import Progress, megabytes
from bigart.weights.table import ModelFile

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


class _RefusedError(Exception):
    """What this address serves is not the file: on to the next address."""


def fetch(file: ModelFile, weights: Path | str = "weights") -> Path:
    """Make sure that a model file is on disk, whole and verified.

    A file that is already there is verified; a damaged download is fetched again. Several
    processes may ask for the same file: one fetches, the others wait.

    Args:
        file: The entry of ``config/models.yaml``.
        weights: The folder ``weights/``.

    Returns:
        The file: the download, or the user's own.

    Raises:
        UserError: No address gave the right file (with the error of each one), the disk has no
            room, or a local file is missing or not what its entry says.
    """
    target, weights = file.source_path(weights), Path(weights)
    if file.path is not None:
        if not target.is_file():
            raise UserError(f"{file.name}: {target} is missing; its entry in models.yaml names it")
        check_stated(file, target)
        return target
    with files.locked(target):
        if target.exists():
            try:
                _verify(file, target, weights)
                return target
            except _RefusedError as error:
                log.warning("%s: %s; fetching it again", target, error)
                target.unlink()
        _fetch_from_any(file, target, weights)
    return target


def check_stated(file: ModelFile, path: Path, weights: Path | str = "weights") -> str | None:
    """Check that a file on disk has the size and hash that its entry states, or else its pin.

    Returns:
        Its SHA-256, or None where there is none to compare it with.

    Raises:
        UserError: It is another file.
    """
    try:
        return _check_known(file, path, Path(weights))
    except _RefusedError as error:
        right = "remove it, so that it is fetched again" if file.needs_fetch else "replace it"
        raise UserError(
            f"{file.name}: {path} is {error}. If it is the right one, correct what is stated; "
            f"else {right}."
        ) from None


def _check_known(file: ModelFile, path: Path, weights: Path) -> str | None:
    size = path.stat().st_size
    if file.bytes not in (None, size):
        raise _RefusedError(
            f"another file: it has {size:,} bytes; its entry in models.yaml says {file.bytes:,}"
        )
    expected, says = file.sha256, "its entry in models.yaml says"
    if not expected and file.needs_fetch:
        pins = weights / "pins.json"
        expected = _pins(pins).get(file.name, {}).get("sha256")
        says = f"the one fetched first (to accept another, remove `{file.name}` from {pins}) has"
    if not expected:
        return None
    found = files.sha256(path)
    if found != expected:
        raise _RefusedError(f"another file: its sha256 is {found}; {says} {expected}")
    return found


def _verify(file: ModelFile, path: Path, weights: Path) -> None:
    """Check a fetched file against its entry or its pin; else check what is in it, and pin it."""
    if _check_known(file, path, weights):
        return
    if file.is_network:
        from bigart.weights import conversion  # needs torch, which a download does not

        log.info("%s: checking every tensor", file.name)
        try:
            conversion.check(path, file.architecture, file.options)
        except UserError as error:
            raise _RefusedError(str(error)) from None
    pins = weights / "pins.json"
    with files.locked(pins):
        facts = {"bytes": path.stat().st_size, "sha256": files.sha256(path), "urls": file.urls}
        content = json.dumps(_pins(pins) | {file.name: facts}, indent=2, sort_keys=True)
        with files.atomic(pins) as temporary:
            temporary.write_text(f"{content}\n")
    log.info("%s: its sha256 %s is pinned in %s", file.name, facts["sha256"], pins)


def _pins(path: Path) -> dict[str, Any]:
    """Return the hash of the file that first came under each name without a published one."""
    try:
        pins: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(pin["sha256"], str) for pin in pins.values()):
            return pins
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError, KeyError):
        pass
    raise UserError(f"{path} is damaged. Remove it: the files are then checked and pinned again")


# ---- one file from many addresses ------------------------------------------------------------


def _fetch_from_any(file: ModelFile, target: Path, weights: Path) -> None:
    size = f", {megabytes(file.bytes)}" if file.bytes else ""
    log.info("%s%s (licence: %s)", file.name, size, file.licence or "not stated")
    part = target.with_name(f"{target.name}.part")
    errors = []
    for url in file.urls:
        log.info("%s: from %s", file.name, url)
        try:
            _fetch_verified(file, url, part, weights)
        except (_RefusedError, requests.RequestException, MaxRetryError) as error:
            log.warning("%s: %s: %s", file.name, url, _reason(error))
            errors.append(f"  {url}: {_reason(error)}")
        else:
            files.finish(part, target)
            _discard(part)
            log.info("%s: fetched and verified", file.name)
            return
    raise UserError(
        f"{file.name} could not be fetched:\n" + "\n".join(errors) + "\n"
        f"Run again to resume where it stopped. Or get the file in another way and put it at "
        f"{target}: it is then only checked."
    )


def _fetch_verified(file: ModelFile, url: str, part: Path, weights: Path) -> None:
    """Fetch from one address; a resumed file that turns out wrong is tried once from the start."""
    try:
        resumed = _download(file, url, part)
        try:
            _verify(file, part, weights)
        except _RefusedError:
            if not resumed:
                raise
            log.warning("%s: the resumed file is wrong; once more from the start", file.name)
            _discard(part)
            _download(file, url, part)
            _verify(file, part, weights)
    except _RefusedError:
        _discard(part)
        raise


def _download(file: ModelFile, url: str, part: Path) -> bool:
    """Bring ``part`` to its whole length; returns whether any of it is from an earlier request."""
    resumed, longest, retries = part.exists(), 0, RETRIES
    with requests.Session() as session:
        session.headers.update({"Accept-Encoding": "identity", "User-Agent": "bigart-workflow"})
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=RETRIES))
        while True:
            try:
                _request(session, file, url, part)
                return resumed
            except ProtocolError as error:
                size = part.stat().st_size if part.exists() else 0
                if size > longest:
                    longest, retries = size, RETRIES
                retries = retries.increment("GET", url, error=error)
                log.info("%s: %s; trying again", file.name, _reason(error))
                retries.sleep()
                resumed = True


def _request(session: requests.Session, file: ModelFile, url: str, part: Path) -> None:
    """Ask for the bytes that ``part`` lacks, and append them.

    Raises:
        ProtocolError: The answer broke off or does not fit the part: worth another request.
        _RefusedError: This address has another file.
    """
    start, validator = _resumable(file, url, part)
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and validator:
        headers["If-Range"] = validator
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        sent = answer.headers.get("Content-Range", "")  # bytes FIRST-LAST/TOTAL, or bytes */TOTAL
        total = _number(sent.rpartition("/")[2])
        if answer.status_code == 416 and total == start:
            return  # the part is already whole; the checks come next
        if answer.status_code == 416 or (sent and not sent.startswith(f"bytes {start}-")):
            _discard(part)
            raise ProtocolError("the server has other bytes than were asked for")
        answer.raise_for_status()
        if not sent:  # the server knows no ranges, or the file changed
            start, total = 0, _number(answer.headers.get("Content-Length"))
        if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise _RefusedError("a web page in place of the file (a login, a notice, or it moved)")
        if file.bytes and total and total != file.bytes:
            raise _RefusedError(f"another file: {total:,} bytes, expected {file.bytes:,}")
        total = total or file.bytes
        missing, free = (total or 0) - start + SPARE_BYTES, shutil.disk_usage(part.parent).free
        if missing > free:
            raise UserError(
                f"{file.name} needs {megabytes(missing)} more in {part.parent}, where "
                f"{megabytes(free)} are free."
            )
        etag = answer.headers.get("ETag", "")  # a weak one says nothing about single bytes
        strong = "" if etag.startswith("W/") else etag
        validator = strong or answer.headers.get("Last-Modified", "")
        with files.atomic(_note(part)) as temporary:
            temporary.write_text(json.dumps({"url": url, "validator": validator}))
        _append(file, answer, part, start, total)


def _resumable(file: ModelFile, url: str, part: Path) -> tuple[int, str]:
    """Return how many bytes of ``part`` count, and the validator for If-Range, or nothing.

    Bytes count where a published hash will tell whether they fit, or where the same address can
    say whether its file is still the same.
    """
    size = part.stat().st_size if part.exists() else 0
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        validator = str(note["validator"]) if note["url"] == url else ""
    except (OSError, ValueError, TypeError, KeyError):
        validator = ""
    usable = (file.sha256 or validator) and size <= (file.bytes or size)
    return (size, validator) if usable else (0, "")


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
                    raise _RefusedError("a web page in place of the file")
                at += len(chunk)
                if at > limit:
                    raise _RefusedError(f"more than the expected {limit:,} bytes")
                out.write(chunk)
                progress.advance(len(chunk))
    except requests.RequestException as error:
        raise ProtocolError(_reason(error)) from None
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise UserError(
                f"{file.name}: the disk is full after {megabytes(at)}. Make room and run again: "
                f"it resumes where it stopped ({part})."
            ) from None
        raise
    if total is not None and at < total:
        raise ProtocolError(f"broke off at {at:,} of {total:,} bytes")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 19 else None


def _reason(error: BaseException) -> str:
    """Return the reason that requests and urllib3 wrap in errors of their own."""
    inner = getattr(error, "reason", None) or next(iter(error.args), None)
    return _reason(inner) if isinstance(inner, Exception) else str(error)


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
