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
    file = YamlFile(None, {}, [])
    try:
        loader = yaml.SafeLoader(Path(path).read_text(encoding="utf-8-sig"))
        if (node := loader.get_single_node()) is None:
            return file
        for key, line in _keys(node, "", set()):
            if key in file.lines:
                file.duplicates.append((key, line, file.lines[key]))
            else:
                file.lines[key] = line
        return file._replace(content=loader.construct_document(node))
    except FileNotFoundError:
        problem = " is missing"
    except OSError as error:
        problem = f" cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        problem = f" is not UTF-8 text (byte {error.start + 1})"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"{f', line {mark.line + 1}' if mark else ''}: this is not YAML: {error.problem}"
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # 2021-02-30 is no date
        problem = f" is not YAML: {' '.join(str(error).split())}"
    raise UserError(f"{path}{problem}.")


def _keys(node: yaml.Node, path: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Yield the dotted path and line of each key and list item below a node.

    Nodes whose ids were ``seen`` are left out: an alias may name a node that it is within.
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
