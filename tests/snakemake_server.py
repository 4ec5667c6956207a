"""A Snakemake that is imported once: every run is a fork of this process, and starts at once.

It reads requests from stdin, one a line: folder, arguments, environment and a name for the files
that stdout and stderr go to. It answers each with the exit status.
"""

import contextlib
import importlib
import json
import os
import sys
from pathlib import Path

from snakemake.cli import main

# what a run imports besides, after it has begun; nothing of the workflow's own
for name in ("numpy", "pandas", "yaml", "filelock", "snakemake.dag", "snakemake.scheduling"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)


def run(folder: str, arguments: list[str], environment: dict[str, str], output: str) -> int:
    """Do what `python -m snakemake` does; return its exit status."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["snakemake", *arguments]
    for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        with Path(f"{output}.{name}").open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    try:
        main(arguments)
    except SystemExit as leaving:
        if not isinstance(leaving.code, str):
            return leaving.code or 0
        print(leaving.code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = run(*json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
