"""Which pictures of an artwork the workflow made, and which a person put in their place.

``log/made.json`` of an artwork records each picture: the SHA-256 of what the workflow made and of
what is there now, with its size and time. A picture of that size and time is known without being
read, another one by its SHA-256. A picture without a record (put in by hand, or painted by a
version that kept none) is the workflow's own if it carries a recipe.

Only the main process of a run writes the record. Nothing here imports torch or Pillow.
"""

import contextlib
import functools
import itertools
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NotRequired, TypedDict

from bigart.errors import UserError, listed
from bigart.metadata import recipe
from bigart.running import files
from bigart.stages import STAGES, Stage

RECORD = "log/made.json"
_SIGNS = re.compile(
    b"|".join(re.escape(text.encode()) for text in (recipe.CHUNK, recipe.NAMESPACE))
)
_HEAD, _TAIL = 2**16, 2**18  # bytes in which a recipe begins; in a TIFF it is behind the pixels


class _Entry(TypedDict):
    """The workflow's own if ``made`` and ``now`` are the same; both are None if it was not read."""

    made: str | None
    now: str | None
    size: int
    time: int
    begun: NotRequired[bool]  # a job that makes it has begun, and nothing is known of its end


_Record = dict[str, _Entry]
Kept = dict[str, dict[str, dict[str, str]]]


def begin(folder: Path, names: Iterable[str]) -> None:
    """Record that a job begins which makes these pictures of an artwork."""
    record = _read(folder)
    for name in names:
        entry = record.setdefault(name, _Entry(made=None, now=None, size=-1, time=-1))
        entry["begun"] = True
    _save(folder, record)


def end(folder: Path, names: Iterable[str], *, failed: bool) -> None:
    """Record these pictures as made by a job that has ended.

    Those that a failed job has not replaced stay what they were.
    """
    record = _read(folder)
    for name in names:
        entry = record.pop(name, None)
        stat = _stat(f"{folder}/{name}")
        if failed and entry and stat == (entry["size"], entry["time"]):
            entry.pop("begun", None)
            record[name] = entry
        elif stat:
            digest = files.sha256(folder / name)
            record[name] = _Entry(made=digest, now=digest, size=stat[0], time=stat[1])
    _save(folder, record)


def replaced(folder: Path, names: Iterable[str]) -> list[str]:
    """Return which of these pictures of an artwork are a person's."""
    return list(_look(_read(folder), folder, names)[0])


def kept(results: str, formats: Mapping[str, str], candidates: int) -> Kept:
    """Find the pictures that a person put in place of the workflow's, in all artworks.

    The records are brought up to date. A picture from the future gets the present time: Snakemake
    takes nothing for newer than that.

    Args:
        results: The folder of the artworks.
        formats: Artwork -> the format of its final file.
        candidates: How many there are.

    Returns:
        Stage -> artwork -> name of a person's picture -> its SHA-256.

    Raises:
        UserError: A picture cannot be read or dated; or of a stage that makes several, some are a
            person's and others are missing. The message lists every error.
    """
    found: Kept = {}
    errors: list[str] = []
    for artwork, suffix in formats.items():
        folder, stages = Path(results, artwork), _names(suffix, candidates)
        record = _read(folder)
        if not record and not folder.is_dir():
            continue
        try:
            theirs, stale = _look(record, folder, itertools.chain(*stages.values()))
            if stale:
                _date(record, folder, theirs)
        except OSError as error:
            errors.append(f"{error.filename} was put there by hand, and: {error.strerror}")
            continue
        if stale:
            with contextlib.suppress(OSError):  # then the next run looks again
                _write(folder, record)
        for stage, names in stages.items() if theirs else ():
            if here := {name: theirs[name] for name in names if name in theirs}:
                found.setdefault(stage, {})[artwork] = here
                errors += _gaps(folder, here, names)
    if errors:
        raise UserError("\n  ".join(errors))
    return found


def _gaps(folder: Path, theirs: Iterable[str], names: Iterable[str]) -> list[str]:
    if missing := [name for name in names if not (folder / name).exists()]:
        return [
            f"{listed(f'{folder}/{name}' for name in theirs)}: put there by hand, so the workflow "
            f"leaves this stage alone, but {listed(missing)} of it is missing. Put that there too, "
            "or delete the former: then the workflow makes all of them"
        ]
    return []


@functools.cache
def _names(suffix: str, candidates: int) -> dict[str, tuple[str, ...]]:
    """Return the pictures of each stage."""

    def names(stage: Stage) -> tuple[str, ...]:
        numbers = range(1, candidates + 1)
        # of a stage with one file all are the same
        return tuple(dict.fromkeys(stage.file.format(candidate=k, format=suffix) for k in numbers))

    return {stage.name: names(stage) for stage in STAGES.values()}


def _look(record: _Record, folder: Path, names: Iterable[str]) -> tuple[dict[str, str], bool]:
    """Bring a record up to date; return a person's pictures with SHA-256, and if it changed."""
    theirs, stale = {}, False
    for name in names:
        path = f"{folder}/{name}"
        if (stat := _stat(path)) is None:
            continue
        entry = record.get(name)
        if entry is None or stat != (entry["size"], entry["time"]):
            made, now = _content(entry, path)
            record[name] = entry = _Entry(made=made, now=now, size=stat[0], time=stat[1])
            stale = True
        if entry["now"] and entry["made"] != entry["now"]:
            theirs[name] = entry["now"]
    return theirs, stale


def _content(entry: _Entry | None, path: str) -> tuple[str | None, str | None]:
    """Return ``made`` and ``now`` of a picture whose size or time is another one."""
    if entry is None:
        return None, None if _carries_recipe(path) else files.sha256(path)
    now = files.sha256(path)
    if now != entry["now"] and _made_unseen(entry) and _carries_recipe(path):
        return now, now
    return entry["made"], now


def _made_unseen(entry: _Entry) -> bool:
    """Return whether the workflow may have made a picture that the record does not know.

    A job may have made it after which its main process was killed; or there never was a record of
    it but its time.
    """
    return entry.get("begun", False) or entry["made"] is entry["now"] is None


def _carries_recipe(path: str) -> bool:
    with Path(path).open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(_HEAD, os.fstat(file.fileno()).st_size - _TAIL))
        return bool(_SIGNS.search(head) or _SIGNS.search(file.read()))


def _date(record: _Record, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if record[name]["time"] > time.time_ns():
            os.utime(folder / name)
            record[name]["time"] = (folder / name).stat().st_mtime_ns


def _stat(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 (twenty thousand of them)
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _read(folder: Path) -> _Record:
    try:
        return dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # without it the recipes tell


def _save(folder: Path, record: _Record) -> None:
    """Write a record; where that fails, remove it: one that is behind would be wrong."""
    try:
        _write(folder, record)
    except OSError:
        with contextlib.suppress(OSError):
            (folder / RECORD).unlink()


def _write(folder: Path, record: _Record) -> None:
    with files.atomic(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=0, sort_keys=True), encoding="utf-8")
