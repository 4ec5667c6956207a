"""Make the environment of an original network package (envs/upstream-*.yaml), without conda.

    python tests/upstream.py glide [--checkout FOLDER]

makes `.upstream/glide`: a virtual environment of this Python, into which pip installs the pins of
envs/upstream-glide.yaml. Made once, it is left alone until that file says something else.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import conda_stub

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".upstream"
COMPLETE = ".complete"  # in an environment, written last: the file that it was made of
#: Name of an environment -> the package that it is for.
ENVIRONMENTS = {
    "glide": "glide-text2im",
    "basicsr": "basicsr",
    "taming": "taming-transformers",
}


def file_of(name: str) -> Path:
    """Return the file that says what an environment holds."""
    return ROOT / f"envs/upstream-{name}.yaml"


def python_of(name: str) -> Path | None:
    """Return the interpreter of an environment, or None if it is not made, or of another file."""
    complete, python = FOLDER / name / COMPLETE, FOLDER / name / "bin/python"
    if not complete.exists() or complete.read_text() != file_of(name).read_text():
        return None
    return python if python.exists() else None


def build(name: str, checkout: Path | None = None) -> Path:
    """Make an environment, unless it is there already.

    Args:
        name: One of `ENVIRONMENTS`.
        checkout: The source of its package, to take in place of the file's address.

    Returns:
        Its interpreter.

    Raises:
        RuntimeError: This is not Python 3.11, the file has no address to replace, the checkout is
            of another commit, or pip failed.
    """
    if ready := python_of(name):
        return ready
    if sys.version_info[:2] != (3, 11):
        found = "{}.{}".format(*sys.version_info)
        raise RuntimeError(f"{file_of(name)} is for Python 3.11, and this is {found}")
    text = file_of(name).read_text()
    pins = conda_stub.pip_pins(file_of(name))
    original = next(pin for pin in pins if pin.split("==")[0].split()[0] == ENVIRONMENTS[name])
    others = [pin for pin in pins if pin != original]
    if checkout:
        _check(checkout, original)
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, symlinks=True)
    with tempfile.TemporaryDirectory() as temporary:
        if checkout:  # a copy, for the build writes into it
            source = Path(temporary) / ENVIRONMENTS[name]
            shutil.copytree(checkout, source, ignore=shutil.ignore_patterns(".git", "build"))
            original = str(source)
        _install(folder, *others)
        # builds with the torch that is there: with one of its own, pip would download the newest
        _install(folder, "--no-build-isolation", original, *others)
    (folder / COMPLETE).write_text(text)
    return folder / "bin/python"


def _check(checkout: Path, original: str) -> None:
    """Refuse a checkout of another commit than the one that the environment's file names."""
    if " @ " not in original:
        raise RuntimeError(f"--checkout cannot replace {original}")
    if not (checkout / ".git").exists():
        print(f"{checkout} has no .git: take care that it is of the commit in {original}")
        return
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if commit not in original:
        raise RuntimeError(f"{checkout} is at {commit}, which is not that of {original}")


def _install(folder: Path, *arguments: str) -> None:
    command = ["--python", folder / "bin/python", "install", *arguments]
    if conda_stub.pip(*command, shown=True).returncode:
        raise RuntimeError(f"pip could not install into {folder}; its own words are above")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=ENVIRONMENTS, metavar="NAME", help=", ".join(ENVIRONMENTS))
    parser.add_argument(
        "--checkout",
        type=Path,
        metavar="FOLDER",
        help="a checkout of the package, at the commit that the environment's file names",
    )
    arguments = parser.parse_args()
    try:
        print(build(arguments.name, arguments.checkout))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
