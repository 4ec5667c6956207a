"""What every stage command shares: logging, exit status, messages instead of tracebacks."""

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from bigart.errors import UserError
from bigart.running import environment, files, progress

log = logging.getLogger("bigart")


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
    environment.show_any_text()  # of a prompt; and a full disk is reported once, not at every line
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    terminal = logging.StreamHandler()
    if sys.stderr.isatty():  # there a bar moves instead of the lines of progress
        terminal.addFilter(lambda record: record.name != progress.log.name)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[terminal])
    try:
        with files.locked(arguments.log) if arguments.log else contextlib.nullcontext():
            if arguments.log:
                logging.getLogger().addHandler(
                    logging.FileHandler(arguments.log, mode="w", encoding="utf-8")
                )
            run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if message := _message(error):
            log.error("%s: error: %s", name, message)
        else:
            log.exception("%s: error of the program", name)
        sys.exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    # once: Slurm sends SIGTERM twice, and the second would cut short what the first has saved
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _message(error: Exception) -> str | None:
    """Return the message for the user, or None for a bug of the program."""
    if isinstance(error, UserError):
        return str(error)
    on_gpu = type(error).__name__ == "OutOfMemoryError"  # torch's; on the CPU it has only a text
    if on_gpu or isinstance(error, MemoryError) or "allocate memory" in str(error):
        what = "not enough memory on the GPU" if on_gpu else "not enough memory"
        return (
            f"{what}; close other programs, run one job for each GPU (--resources gpu=...), or see "
            "'batch', 'precision' and 'device' in config.yaml (the original packages need several "
            "times that of 'engine: native')"
        )
    if isinstance(error, OSError) and error.errno:
        full = error.errno == errno.ENOSPC
        what = "the disk is full" if full else os.strerror(error.errno).lower()
        return f"{what}: {error.filename}" if error.filename else what
    return None
