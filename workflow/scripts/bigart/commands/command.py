"""What every stage command shares: logging, exit status, messages instead of tracebacks."""

import argparse
import contextlib
import errno
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from bigart.errors import UserError
from bigart.running import files, progress

log = logging.getLogger("bigart")

_OS_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk or the network file system failed",
    errno.ESTALE: "the network file system failed",
    errno.ETIMEDOUT: "the network file system does not answer",
    errno.ENOENT: "no such file",
    errno.EISDIR: "that is a folder, not a file",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
}


def main(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
) -> None:
    """Parse the arguments, run the command and leave with its exit status.

    Exit status: 0 done, 1 an error the user can fix (one message, no traceback), 2 wrong
    arguments, 130 interrupted, 143 asked to end (SIGTERM, as a scheduler does), 129 when its
    terminal is closed (SIGHUP, unless nohup lets it be ignored). In the last three cases, too,
    temporary files are removed. Bugs of the program keep their traceback.

    ``--log FILE`` also locks FILE: a second process for the same output waits.
    """
    parser.add_argument(
        "--log", help="also write the messages to this file; wait for another process that does"
    )
    arguments = parser.parse_args(argv)
    name = Path(parser.prog).stem
    if isinstance(sys.stdout, io.TextIOWrapper):  # a prompt may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    _log_to_terminal()
    try:
        with files.locked(arguments.log) if arguments.log else contextlib.nullcontext():
            if arguments.log:
                _log_to(arguments.log)
            run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        message = _message(error)
        if message is None:
            log.exception("%s: error of the program", name)
        else:
            log.error("%s: error: %s", name, message)
        sys.exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    # once: Slurm sends SIGTERM twice, and the second would cut short what the first has saved
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _log_to_terminal() -> None:
    terminal = logging.StreamHandler()
    if sys.stderr.isatty():  # there a bar moves instead of the lines of progress
        terminal.addFilter(lambda record: record.name != progress.log.name)
    logging.raiseExceptions = False  # a full disk is reported once, not at every line of the log
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[terminal])


def _log_to(path: str) -> None:
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger().addHandler(handler)


def _message(error: BaseException) -> str | None:
    """Return the message for the user, or None for a bug of the program."""
    if isinstance(error, UserError):
        return str(error)
    # torch has a class of its own on a GPU, and only a text on the CPU
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return (
            "not enough memory; close other programs, and see 'batch' in config.yaml (the original "
            "packages need several times that of 'engine: native')"
        )
    if type(error).__name__ == "OutOfMemoryError":
        return (
            "not enough memory on the GPU; run one job for each GPU (--resources gpu=...), or try "
            "'precision: bf16' or 'device: cpu' in config.yaml (the original packages need several "
            "times that of 'engine: native')"
        )
    if isinstance(error, OSError) and error.errno in _OS_ERRORS:
        where = f": {error.filename}" if error.filename else ""
        return f"{_OS_ERRORS[error.errno]}{where}"
    return None
