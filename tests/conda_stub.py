"""A stand-in for conda, for tests: it takes the commands that Snakemake gives.

What it does for real: py-rattler solves the specs of an environment, against a channel of two
packages, and links these into it; pip then installs the pins there, from the index that it always
asks. The channel's `python` is the interpreter at hand as a virtual environment, with nothing
installed. It writes down every command that it runs.

What it cannot show: that conda-forge's own packages solve, and what its activation scripts do.

Environments that are there already can be given to an installation; it then links these instead.
"""

import argparse
import asyncio
import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import rattler
import rattler.index
import yaml

VERSION = "25.1.1"
CHANNEL = "conda-forge"
COMMANDS = "commands.txt"  # in an environment: what its python has run, one line each
READY = "ready.json"  # in an installation: text of an environment's file -> folder
BASE = Path(sys._base_executable)  # type: ignore[attr-defined]
SUBDIR = rattler.Subdir.current()

ACTIVATE = """\
export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"
"""
PYTHON = f"""\
#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/../{COMMANDS}"
exec "$here/{BASE.name}" "$@"
"""
ENVIRONMENT = f"""\
home = {BASE.parent}
include-system-site-packages = false
version = {platform.python_version()}
"""


def pip(*arguments: str | Path, shown: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the pip of the Python that the tests' own environment is made of.

    Args:
        arguments: What it is to do.
        shown: Whether it writes to the terminal, and may take as long as it takes.
    """
    command = [BASE, "-m", "pip", "--disable-pip-version-check", *arguments]
    options = {} if shown else {"capture_output": True, "timeout": 1200}
    return subprocess.run(list(map(str, command)), text=True, **options)


def pip_pins(file: Path) -> list[str]:
    """Return what pip is to install into an environment, as its file says it."""
    dependencies = yaml.safe_load(file.read_text())["dependencies"]
    return [pin for part in dependencies if isinstance(part, dict) for pin in part["pip"]]


def install(prefix: Path, ready: Mapping[Path, Path] | None = None) -> Path:
    """Make an installation of the stand-in; its channel has this Python and pip.

    Args:
        prefix: Where.
        ready: File of an environment -> virtual environment to take for it.

    Returns:
        The folder to put in PATH.
    """
    channel, binaries = prefix / CHANNEL, prefix / "bin"
    python: dict[str, str | Path] = {
        "bin/python": PYTHON,
        f"bin/{BASE.name}": BASE,
        "pyvenv.cfg": ENVIRONMENT,
    }
    _write_package(channel, "python", platform.python_version(), python)
    _write_package(channel, "pip", pip("--version").stdout.split()[1], {})
    asyncio.run(rattler.index.index_fs(channel, write_zst=False, write_shards=False))
    folders = {file.read_text(): str(folder) for file, folder in (ready or {}).items()}
    (prefix / READY).write_text(json.dumps(folders))
    binaries.mkdir()
    (binaries / "activate").write_text(ACTIVATE)
    conda = binaries / "conda"
    conda.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{prefix}" "$@"\n')
    conda.chmod(0o755)
    return binaries


def _write_package(channel: Path, name: str, version: str, files: dict[str, str | Path]) -> None:
    """Write a package: of each file its text, or the path that it links to."""
    index = {
        "name": name,
        "version": version,
        "build": "0",
        "build_number": 0,
        "depends": [],
        "subdir": str(SUBDIR),
    }
    kinds = {True: "softlink", False: "hardlink"}
    paths = [{"_path": p, "path_type": kinds[isinstance(c, Path)]} for p, c in files.items()]
    members: dict[str, str | Path] = {
        "info/index.json": json.dumps(index),
        "info/files": "".join(f"{path}\n" for path in files),
        "info/paths.json": json.dumps({"paths_version": 1, "paths": paths}),
        **files,
    }
    (channel / str(SUBDIR)).mkdir(parents=True, exist_ok=True)
    (channel / "noarch").mkdir(exist_ok=True)
    with tarfile.open(channel / str(SUBDIR) / f"{name}-{version}-0.tar.bz2", "w:bz2") as archive:
        for path, content in members.items():
            member = tarfile.TarInfo(path)
            if isinstance(content, Path):
                member.type, member.linkname = tarfile.SYMTYPE, str(content)
                archive.addfile(member)
                continue
            data = content.encode()
            member.size, member.mode = len(data), 0o755 if path.startswith("bin/") else 0o644
            archive.addfile(member, io.BytesIO(data))


async def solve(prefix: Path, file: Path) -> list[rattler.RepoDataRecord]:
    """Return the packages that the conda specs of an environment's file solve to."""
    spec = yaml.safe_load(file.read_text())
    if spec["channels"] != [CHANNEL]:
        raise ValueError(f"{file}: found channels {spec['channels']}, there is {CHANNEL}")
    wanted = [dependency for dependency in spec["dependencies"] if isinstance(dependency, str)]
    channel = rattler.Channel((prefix / CHANNEL).as_uri())
    return await rattler.solve([channel], wanted, platforms=[SUBDIR, "noarch"])


def create(prefix: Path, file: Path, environment: Path) -> None:
    """Do `conda env create`."""
    if folder := json.loads((prefix / READY).read_text()).get(file.read_text()):
        environment.mkdir(parents=True, exist_ok=True)
        for entry in Path(folder).iterdir():
            (environment / entry.name).symlink_to(entry)
        return
    records = asyncio.run(solve(prefix, file))
    cache = prefix / "pkgs"
    asyncio.run(rattler.install(records, environment, cache_dir=cache, show_progress=False))
    pins = pip_pins(file)
    if pins and "pip" not in {record.name.normalized for record in records}:
        raise ValueError(f"{file} has pip pins and not pip itself")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("".join(f"{pin}\n" for pin in pins))
        requirements.flush()
        python = environment / "bin" / BASE.name
        done = pip("--python", python, "install", "--no-compile", "-r", requirements.name)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def main() -> None:
    """Answer as conda does."""
    parser = argparse.ArgumentParser(usage="conda_stub.py INSTALLATION command ...")
    for flag in ("--version", "--json", "--quiet", "--no-default-packages", "--tarballs", "-y"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--get")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--prefix", type=Path)
    parser.add_argument("installation", type=Path)
    parser.add_argument("command", nargs="*")
    arguments = parser.parse_args()
    if arguments.version:
        print(f"conda {VERSION}")
        return
    match arguments.command:
        case ["info"]:
            print(
                json.dumps({"conda_prefix": str(arguments.installation), "platform": str(SUBDIR)})
            )
        case ["config"]:
            print(json.dumps({"get": {arguments.get: "strict"}}))
        case ["env", "create"]:
            create(arguments.installation, arguments.file, arguments.prefix)
        case ["clean"]:
            shutil.rmtree(arguments.installation / "pkgs", ignore_errors=True)
        case _:
            parser.error(f"conda {' '.join(sys.argv[2:])} is not among what this stand-in does")


if __name__ == "__main__":
    main()
