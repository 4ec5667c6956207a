"""A hash of the code that a stage runs, so that editing it makes the stage run again."""

import ast
import functools
import hashlib
from pathlib import Path

LIBRARY = Path(__file__).parent.parent


def version(script: Path | str) -> str:
    """Return a hash of a stage command and of every library module that it imports.

    It follows from the text of these files alone: not from their times, their folder, nor from
    modules that the stage does not use.

    Args:
        script: A Python file.

    Returns:
        12 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in sorted(_used_files(Path(script)), key=lambda path: (path.name, str(path))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _used_files(script: Path) -> set[Path]:
    found, waiting = {script}, [script]
    while waiting:
        for path in _imported_files(waiting.pop()) - found:
            found.add(path)
            waiting.append(path)
    return found


@functools.cache
def _imported_files(path: Path) -> set[Path]:
    """Return the library files that a file's import statements name, packages included."""
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
    return files
