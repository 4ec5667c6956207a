"""What every stage command shares: logging, exit status, messages instead of tracebacks."""

import argparse
import errno
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bigart.errors import UserError

log = logging.getLogger("bigart")

_OS_FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the disk is read-only",
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

    Exit status: 0 done, 1 a fault the user can mend (one message on stderr, no traceback),
    2 wrong arguments, 130 interrupted. Faults of the program itself keep their traceback.
    """
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    name = Path(parser.prog).stem
    try:
        run(arguments)
    except UserError as error:
        sys.exit(f"{name}: error: {error}")
    except MemoryError:
        sys.exit(f"{name}: error: not enough memory; see 'batch' and 'precision' in config.yaml")
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno not in _OS_FAULTS:
            raise
        where = f": {error.filename}" if error.filename else ""
        sys.exit(f"{name}: error: {_OS_FAULTS[error.errno]}{where}")
