"""YAML files that people write: their content, and in which line each key is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bigart.errors import UserError


class YamlFile(NamedTuple):
    """What a YAML file holds.

    Attributes:
        content: Plain values only; None for an empty file. Of two equal keys the second one wins.
        lines: Line of each key and list item, counted from 1, by its dotted path: ``seed``,
            ``files.bsrgan.urls.0``.
        duplicates: Path, line and first line of each key that its group has already. YAML would
            drop the first one without a message, so callers report these as errors.
    """

    content: Any
    lines: dict[str, int]
    duplicates: list[tuple[str, int, int]]


def read(path: Path | str) -> YamlFile:
    """Read a YAML file. No code in it is run.

    Raises:
        UserError: The file is missing, is not UTF-8 text, or is not YAML; the message names the
            file and, where known, the line.
    """
    try:
        loader = yaml.SafeLoader(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start + 1}).") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:  # a control character
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    lines: dict[str, int] = {}
    duplicates: list[tuple[str, int, int]] = []
    try:
        node = loader.get_single_node()
        if node is None:
            return YamlFile(None, lines, duplicates)
        for key, line in _keys(node, "", set()):
            if key in lines:
                duplicates.append((key, line, lines[key]))
            else:
                lines[key] = line
        return YamlFile(loader.construct_document(node), lines, duplicates)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        hint = " Indent with spaces, not with tabs." if "'\\t'" in str(error.problem) else ""
        raise UserError(f"{path}{where}: this is not YAML: {error.problem}.{hint}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # 2021-02-30 is no date
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    finally:
        loader.dispose()


def _keys(node: yaml.Node, path: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Yield the dotted path and line of each key and list item below a node.

    Args:
        node: Part of the file.
        path: Its own dotted path and a point, or nothing.
        seen: Ids of the nodes that were visited; an alias names one of them, and may be within it.
    """
    if id(node) in seen:
        return
    seen.add(id(node))
    parts: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        parts = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        parts = [(str(number), item, item) for number, item in enumerate(node.value)]
    for name, start, value in parts:
        yield f"{path}{name}", start.start_mark.line + 1
        yield from _keys(value, f"{path}{name}.", seen)
