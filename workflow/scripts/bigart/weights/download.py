"""Downloads of model files: resumed after a break, checked, whole or absent.

A download grows as ``NAME.part`` beside a note of where it comes from (``NAME.part.json``). It gets
its final name when size and hash are right. Where no hash is published, the file is checked from
within (zip CRCs, names, shapes, finite values) and its hash is pinned in ``weights/pins.json``:
every later download must be the same file, whichever address it comes from.

HTTP: RFC 9110, sections 13.1.5 (If-Range), 14 (ranges) and 15.5.17 (416).
"""

import contextlib
import errno
import itertools
import json
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests

from bigart.errors import UserError
from bigart.running import files
from bigart.running.progress import Progress, duration, megabytes
from bigart.weights.table import ModelFile

log = logging.getLogger("bigart")

CHUNK = 2**14  # at most this much is lost when a connection breaks
SPARE_BYTES = 64 * 2**20  # left free on the disk
UNKNOWN_SIZE_LIMIT = 20 * 2**30  # no model file is as large as this
LONGEST_WAIT = 60.0
_MOST_ATTEMPTS = 100
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504, 509}
_WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<?xml")


@dataclass(frozen=True)
class Patience:
    """How long a download is tried.

    Attributes:
        attempts: In a row without a byte gained, per address, before the next address.
        backoff: Seconds before the second attempt; doubled for each further one.
        connect: Seconds to wait for a connection.
        silence: Seconds without a byte before the connection counts as broken.
    """

    attempts: int = 4
    backoff: float = 2.0
    connect: float = 15.0
    silence: float = 60.0


class _WrongFileError(Exception):
    """The address serves another file than the expected one: on to the next address."""


class _BrokenOffError(Exception):
    """The connection broke, or the server is busy: worth another attempt.

    Args:
        message: What happened.
        wait: Seconds that the server asks for.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class _Origin:
    """What a partial download is a part of."""

    url: str
    etag: str = ""
    modified: str = ""
    total: int | None = None

    @property
    def validator(self) -> str:
        """What If-Range may carry: a strong ETag, else the date."""
        return self.modified if not self.etag or self.etag.startswith("W/") else self.etag


def fetch(
    file: ModelFile, weights: Path | str = "weights", patience: Patience | None = None
) -> Path:
    """Make sure that a model file is on disk, whole and verified.

    A file that is already there is verified; a damaged download is fetched anew. Several
    processes may ask for the same file: one fetches, the others wait.

    Args:
        file: The entry of ``config/models.yaml``.
        weights: The folder ``weights/``.
        patience: How long to try.

    Returns:
        The file: the download, or the user's own.

    Raises:
        UserError: No address gave the right file (each one's fault is told), the disk has no
            room, or a local file is missing or not what its entry says.
    """
    target, weights = file.source_path(weights), Path(weights)
    if file.path is not None:
        if not target.is_file():
            raise UserError(f"{file.name}: {target} is missing; its entry in models.yaml names it")
        check_stated(file, target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(target):
        if target.exists():
            try:
                _verify(file, target, weights)
            except _WrongFileError as error:
                log.warning("%s: %s; fetching it again", target, error)
                target.unlink()
            else:
                return target
        _fetch_from_any(file, target, weights, patience or Patience())
    return target


def _verify(file: ModelFile, path: Path, weights: Path) -> None:
    """Check a fetched file against its entry, or against its pin, or from within (and pin it).

    Raises:
        _WrongFileError: It is another file or a damaged one.
    """
    found = _check_known(file, path, weights)
    if not file.sha256 and not _pinned_sha256(file, weights):
        _check_from_within(file, path)
        _pin(_pins_path(weights), file, found, path.stat().st_size)


def check_stated(file: ModelFile, path: Path, weights: Path | str = "weights") -> str:
    """Check that a file on disk is the one that its entry states, or else its pin.

    Returns:
        Its SHA-256.

    Raises:
        UserError: It is another one.
    """
    try:
        return _check_known(file, path, weights)
    except _WrongFileError as error:
        right = "remove it, so that it is fetched anew" if file.needs_fetch else "replace it"
        raise UserError(
            f"{file.name}: {path} is {error}. If it is the right one, mend what is stated; "
            f"else {right}."
        ) from None


def _check_known(file: ModelFile, path: Path, weights: Path | str) -> str:
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        raise _WrongFileError(
            f"another file: it has {size:,} bytes; its entry in models.yaml says {file.bytes:,}"
        )
    found = files.sha256(path)
    if file.sha256 and found != file.sha256:
        raise _WrongFileError(
            f"another file: its sha256 is {found}; its entry in models.yaml says {file.sha256}"
        )
    pinned = None if file.sha256 else _pinned_sha256(file, weights)
    if pinned and found != pinned:
        raise _WrongFileError(
            f"another file than the one fetched first: its sha256 is {found}, not {pinned} "
            f"(to accept another one, remove `{file.name}` from {_pins_path(weights)})"
        )
    return found


def _check_from_within(file: ModelFile, path: Path) -> None:
    try:
        if file.is_network:
            from bigart.weights import conversion  # needs torch, which a download does not

            log.info("%s: checking every tensor", file.name)
            conversion.check(path, file.architecture, file.options)
        elif file.architecture == "vocabulary":
            tokens = json.loads(path.read_bytes())
            if not isinstance(tokens, dict) or not all(isinstance(i, int) for i in tokens.values()):
                raise _WrongFileError("not a vocabulary: a JSON object, token -> number")
        else:
            path.read_text(encoding="utf-8")
    except (UserError, ValueError, RecursionError) as error:
        raise _WrongFileError(str(error)) from None


# ---- one file from many addresses ------------------------------------------------------------


def _fetch_from_any(file: ModelFile, target: Path, weights: Path, patience: Patience) -> None:
    size = f", {megabytes(file.bytes)}" if file.bytes else ""
    log.info("%s%s (licence: %s)", file.name, size, file.licence or "not stated")
    faults = []
    for url in file.urls:
        log.info("%s: from %s", file.name, url)
        try:
            _fetch_verified(file, url, target, weights, patience)
            return
        except (_WrongFileError, _BrokenOffError) as error:
            log.warning("%s: %s: %s", file.name, url, error)
            faults.append(f"  {url}: {error}")
    raise UserError(
        f"{file.name} could not be fetched:\n" + "\n".join(faults) + "\n"
        f"Run again to go on where it stopped. Or get the file in another way and put it at "
        f"{target}: it is then only checked."
    )


def _fetch_verified(
    file: ModelFile, url: str, target: Path, weights: Path, patience: Patience
) -> None:
    """Fetch from one address; a resumed file that turns out wrong is tried once from the start."""
    part = target.with_name(f"{target.name}.part")
    for last in (False, True):
        resumed = _download(file, url, part, patience)
        try:
            _verify(file, part, weights)
        except _WrongFileError:
            _discard(part)
            if last or not resumed:
                raise
            log.warning("%s: the resumed file is wrong; once more from the start", file.name)
            continue
        files.finish(part, target)
        _discard(part)
        log.info("%s: fetched and verified", file.name)
        return


def _download(file: ModelFile, url: str, part: Path, patience: Patience) -> bool:
    """Bring ``part`` to its whole length; returns whether any of it is from an earlier request."""
    resumed = part.exists()
    failures = 0
    for attempt in itertools.count(1):
        before = _size(part)
        try:
            with _opened_part(part) as out:
                if urlsplit(url).scheme == "file":
                    _copy(file, url, out, part)
                else:
                    _request(file, url, out, part, patience)
            return resumed
        except _WrongFileError:
            _discard(part)
            raise
        except _BrokenOffError as error:
            failures = 0 if _size(part) > before else failures + 1
            if failures >= patience.attempts or attempt >= _MOST_ATTEMPTS:
                raise _BrokenOffError(f"{error} ({attempt} attempts)") from None
            wait = max(patience.backoff * 2 ** max(failures - 1, 0), error.wait)
            wait = min(wait, LONGEST_WAIT)
            log.info("%s: %s; again in %s", file.name, error, duration(wait))
            time.sleep(wait)
            resumed = True
    raise AssertionError("not reached")


# ---- one request -------------------------------------------------------------------------------


def _request(file: ModelFile, url: str, out: Any, part: Path, patience: Patience) -> None:
    """Ask for what is missing of the file and append it.

    Raises:
        _BrokenOffError: Worth another attempt.
        _WrongFileError: This address has not the file.
    """
    start = _resumable(file, url, out, part)
    origin = _read_origin(part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "bigart-workflow"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if origin is not None and origin.url == url and origin.validator:
            headers["If-Range"] = origin.validator
    try:
        with requests.get(
            url, headers=headers, stream=True, timeout=(patience.connect, patience.silence)
        ) as answer:
            _take(file, url, answer, start, out, part)
    except (requests.exceptions.SSLError, requests.exceptions.InvalidSchema) as error:
        raise _WrongFileError(_plain(error)) from None
    except requests.RequestException as error:
        raise _BrokenOffError(_plain(error)) from None


def _resumable(file: ModelFile, url: str, out: Any, part: Path) -> int:
    """Return how many bytes of the part count; the rest is thrown away.

    Bytes from another address count only where the hash will tell whether they fit.
    """
    origin = _read_origin(part)
    start = int(out.seek(0, 2))
    too_long = file.bytes is not None and start > file.bytes
    if too_long or not (file.sha256 or (origin is not None and origin.url == url)):
        start = 0
    out.truncate(start)
    out.seek(start)
    return start


def _take(
    file: ModelFile, url: str, answer: requests.Response, start: int, out: Any, part: Path
) -> None:
    code = answer.status_code
    if code == 416:
        total = _range_total(answer)
        if total is not None and total == start:
            return  # the part is already whole; the checks come next
        _discard_content(out, part)
        raise _BrokenOffError("the server has fewer bytes than were fetched before: starting anew")
    if code in _TRY_AGAIN:
        raise _BrokenOffError(f"answer {code} {answer.reason}", _retry_after(answer))
    if code not in {200, 206}:
        raise _WrongFileError(f"answer {code} {answer.reason}")
    total = _range_total(answer) if code == 206 else _length(answer)
    now = _Origin(
        url, answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", ""), total
    )
    if code == 206 and (start == 0 or _range_start(answer) != start or _changed(part, now)):
        _discard_content(out, part)
        raise _BrokenOffError("the file changed, or another part came: starting anew")
    if code == 200:
        start = 0  # the server knows no ranges, or the file changed
        out.truncate(0)
        out.seek(0)
    _refuse_web_page(answer)
    if file.bytes is not None and total is not None and total != file.bytes:
        raise _WrongFileError(f"another file: {total:,} bytes, expected {file.bytes:,}")
    total = total or file.bytes
    _refuse_full_disk(file, part, start, total)
    _write_origin(part, now)
    at = _write(file, answer.iter_content(CHUNK), start, total, out, part)
    if total is not None and at < total:
        raise _BrokenOffError(f"broke off at {at:,} of {total:,} bytes")


def _copy(file: ModelFile, url: str, out: Any, part: Path) -> None:
    """Copy from a file:// address."""
    source = Path(url2pathname(urlsplit(url).path))
    try:
        with source.open("rb") as content:
            total = source.stat().st_size
            _refuse_full_disk(file, part, 0, total)
            out.truncate(0)
            out.seek(0)
            _write(file, iter(lambda: content.read(CHUNK), b""), 0, total, out, part)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise _WrongFileError(f"{source}: {error.strerror}") from None


def _write(
    file: ModelFile, chunks: Iterator[bytes], start: int, total: int | None, out: Any, part: Path
) -> int:
    """Append the chunks, with progress; returns the length reached."""
    at, limit = start, file.bytes or total or UNKNOWN_SIZE_LIMIT
    try:
        with contextlib.closing(Progress(file.name, total, start=start, unit="B")) as progress:
            for chunk in chunks:
                if at == 0 and chunk.lstrip()[:20].lower().startswith(_WEB_PAGE):
                    raise _WrongFileError("a web page in place of the file")
                at += len(chunk)
                if at > limit:
                    raise _WrongFileError(f"more than the expected {limit:,} bytes")
                out.write(chunk)
                progress.advance(len(chunk))
        out.flush()
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise UserError(
                f"{file.name}: the disk is full after {megabytes(at)}. Make room and run again: "
                f"it goes on where it stopped ({part})."
            ) from None
        raise
    return at


def _refuse_web_page(answer: requests.Response) -> None:
    if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _WrongFileError("a web page in place of the file (a login, a notice, or it moved)")


def _refuse_full_disk(file: ModelFile, part: Path, start: int, total: int | None) -> None:
    missing = (total or 0) - start + SPARE_BYTES
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise UserError(
            f"{file.name} needs {megabytes(missing)} more in {part.parent}, where "
            f"{megabytes(free)} are free."
        )


def _changed(part: Path, now: _Origin) -> bool:
    """Whether the same address serves another file than the part is of."""
    before = _read_origin(part)
    return before is not None and before.url == now.url and before != now


def _length(answer: requests.Response) -> int | None:
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        return None  # the length of what is sent, not of the file
    return _number(answer.headers.get("Content-Length"))


def _range_start(answer: requests.Response) -> int | None:
    found = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return _number(found)


def _range_total(answer: requests.Response) -> int | None:
    return _number(answer.headers.get("Content-Range", "").rpartition("/")[2])


def _retry_after(answer: requests.Response) -> float:
    return float(_number(answer.headers.get("Retry-After")) or 0)


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _plain(error: Exception) -> str:
    """Say in a line what a network library says in many."""
    text = str(error)
    for sign, words in (
        ("Name or service not known", "the host's name is not known (no network?)"),
        ("name resolution", "the host's name is not known (no network?)"),
        ("Connection refused", "the host refuses connections"),
        ("IncompleteRead", "the connection broke off"),
        ("Connection broken", "the connection broke off"),
        ("Connection aborted", "the connection broke off"),
        ("timed out", "no answer in time"),
        ("CERTIFICATE_VERIFY_FAILED", "the host's certificate is not valid"),
    ):
        if sign.lower() in text.lower():
            return words
    return text


# ---- the partial file ----------------------------------------------------------------------------


@contextlib.contextmanager
def _opened_part(part: Path) -> Iterator[Any]:
    out = part.open("r+b" if part.exists() else "w+b")
    try:
        yield out
    except BaseException:
        with contextlib.suppress(OSError):  # a full disk fails once more at closing
            out.close()
        if not _size(part):
            _discard(part)
        raise
    out.close()


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _origin_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_origin(part: Path) -> _Origin | None:
    try:
        return _Origin(**json.loads(_origin_path(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_origin(part: Path, origin: _Origin) -> None:
    with files.atomic(_origin_path(part)) as temporary:
        temporary.write_text(json.dumps(asdict(origin)), encoding="utf-8")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _origin_path(part).unlink(missing_ok=True)


def _discard_content(out: Any, part: Path) -> None:
    out.truncate(0)
    out.seek(0)
    _origin_path(part).unlink(missing_ok=True)


# ---- pins ----------------------------------------------------------------------------------------


def _pins_path(weights: Path | str) -> Path:
    return Path(weights, "pins.json")


def _pinned_sha256(file: ModelFile, weights: Path | str) -> str | None:
    """Return the hash of the file that first came under this name, or None."""
    if not file.needs_fetch:
        return None
    return _read_pins(_pins_path(weights)).get(file.name, {}).get("sha256")


def _read_pins(path: Path) -> dict[str, dict[str, Any]]:
    try:
        pins = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        pins = None
    if not isinstance(pins, dict) or not all(isinstance(pin, dict) for pin in pins.values()):
        raise UserError(f"{path} is damaged. Remove it: the files are then checked and pinned anew")
    return pins


def _pin(path: Path, file: ModelFile, sha256: str, size: int) -> None:
    with files.locked(path):
        pins = _read_pins(path)
        pins[file.name] = {"urls": list(file.urls), "sha256": sha256, "bytes": size}
        with files.atomic(path) as temporary:
            temporary.write_text(json.dumps(pins, indent=2, sort_keys=True) + "\n")
    log.info("%s: its sha256 %s is pinned in %s", file.name, sha256, path)
