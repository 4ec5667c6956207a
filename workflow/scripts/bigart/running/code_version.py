"""A hash of the code that computes a stage's pictures: when it changes, the stage reruns.

Only the folders in ``COUNTED`` count, and of them only the modules that the stage's command
imports. Comments, docstrings and formatting never count.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

LIBRARY = Path(__file__).parent.parent

#: What computes pixels, and what ``snakemake verify`` computes.
COUNTED = ("networks", "sampling", "pictures", "verify")

_LEFT_OUT = ("ctx", "kind", "type_comment", "type_params")

#: Engine -> the folder that only the other one uses.
OTHER_ENGINE = {"native": "networks/upstream", "upstream": "networks/native"}

#: Architecture -> the modules that only its networks need: with others they do not count.
OF_ARCHITECTURE = {
    "srvggnet": (
        "networks/srvggnet_options.py",
        "networks/native/srvggnet.py",
        "networks/upstream/srvggnet.py",
    )
}


def version(
    script: Path | str,
    engine: str,
    architectures: Iterable[str] = (),
    without: Iterable[str] = (),
) -> str:
    """Return a hash of the computing modules that a stage command imports, directly or not.

    It depends on the statements in these files alone: not on their times, on the library's folder,
    on the version of Python, or on modules that the stage does not use.

    Args:
        script: The command.
        engine: "native" or "upstream": networks of the other one do not count.
        architectures: Of the model files that it reads. Only those of ``OF_ARCHITECTURE`` matter.
        without: Modules that it imports and does not use this time, such as ``pictures/masks.py``.

    Returns:
        12 hexadecimal digits.
    """
    digest = hashlib.sha256()
    others = OF_ARCHITECTURE.keys() - set(architectures)
    of_others = (module for kind in others for module in OF_ARCHITECTURE[kind])
    passed_over = [OTHER_ENGINE[engine], *of_others, *without]
    for path in sorted(imported_modules(script, passed_over)):
        name = path.relative_to(LIBRARY)
        if name.parts[0] in COUNTED:
            digest.update(f"{name.as_posix()}\0{_statements(path)}\0".encode())
    return digest.hexdigest()[:12]


def imported_modules(script: Path | str, without: Iterable[str] = ()) -> set[Path]:
    """Return every module of the library that a command imports, directly or not.

    Args:
        script: The command.
        without: Folders and modules of the library that are passed over.
    """
    passed_over = {LIBRARY / place for place in without}
    found: set[Path] = set()
    waiting = [Path(script)]
    while waiting:
        for path in _imported_modules(waiting.pop()) - found:
            if passed_over.isdisjoint([path, *path.parents]):
                found.add(path)
                waiting.append(path)
    return found


@functools.cache
def _imported_modules(path: Path) -> frozenset[Path]:
    """Return the library modules that a file's import statements name, packages included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = set()
    for name in names:
        package, *parts = name.split(".")
        if package != LIBRARY.name:
            continue
        for depth in range(len(parts) + 1):
            place = LIBRARY.joinpath(*parts[:depth])
            files |= {f for f in (place.with_suffix(".py"), place / "__init__.py") if f.is_file()}
    return frozenset(files)


@functools.cache
def _statements(path: Path) -> str:
    return _written(ast.parse(path.read_bytes()))


def _written(node: object) -> str:
    """Write a syntax tree without docstrings, and in the same way with every version of Python."""
    match node:
        case list():
            return f"[{','.join(filter(None, map(_written, node)))}]"
        case ast.Expr(ast.Constant(str())):  # a docstring
            return ""
        case ast.AST():
            fields = (
                f"{name}={_written(value)}"
                for name, value in ast.iter_fields(node)
                if value not in (None, []) and name not in _LEFT_OUT
            )
            return f"{type(node).__name__}({','.join(fields)})"
    return repr(node)
