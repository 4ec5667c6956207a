"""Options as the schemas declare them: their defaults, what they allow, and how they are read.

The schemas in ``workflow/schemas`` are the one place where an option's type, range and default
are written down. This module turns a value from YAML, from ``--config`` or from a cell of the
table into the option's type, or says in words why it cannot.
"""

import functools
import math
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from bigart.errors import show, suggest

SCHEMAS = Path(__file__).parents[3] / "schemas"

Schema = Mapping[str, Any]
Value = str | int | float | bool

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_WHOLE = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)
_DDIM = re.compile(r"ddim(\d{1,4})", re.ASCII)
_LONGEST = 4000  # bits of a whole number; Python refuses to write out much longer ones


class RefusedError(Exception):
    """A value that an option does not take; ``str(error)`` says what was found and allowed."""


@functools.cache
def options() -> dict[str, Schema]:
    """Return every option of config.yaml with its schema, in the order of the schema file."""
    return dict(_schema("config")["properties"])


@functools.cache
def columns() -> dict[str, Schema]:
    """Return every column of the table with its schema, references to config.yaml resolved."""
    return {
        name: options()[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        for name, part in _schema("prompts")["properties"].items()
    }


def required_columns() -> tuple[str, ...]:
    """Return the columns that the table must have."""
    return tuple(_schema("prompts")["required"])


def default(option: str) -> Any:
    """Return an option's default, for instance ``default("guidance")`` is 2.0."""
    return options()[option]["default"]


def allowed(schema: Schema) -> str:
    """Say in words what an option takes."""
    if "x-allowed" in schema:
        return str(schema["x-allowed"])
    if "enum" in schema:
        *most, last = [f"`{value}`" for value in schema["enum"]]
        return f"{', '.join(most)} or {last}" if most else last
    if schema["type"] == "boolean":
        return "`true` or `false`"
    kind = {"integer": "whole number", "number": "number", "string": "text"}[schema["type"]]
    return f"{kind} {schema['minimum']} to {schema['maximum']}" if "minimum" in schema else kind


def read(name: str, value: object) -> Value:
    """Turn a value into the type of an option or column and check it.

    Text is read as a cell of the table: whole numbers, numbers with a point, and true, false,
    yes, no, on, off, 1 and 0 in any case. So ``--config detail=false``, which Snakemake hands
    on as text, means what it says.

    Args:
        name: An option of config.yaml or a column of the table.
        value: Whatever YAML or the table holds, but neither None nor blank text.

    Raises:
        RefusedError: It has the wrong type, is out of range, or holds control characters.
    """
    schema = columns().get(name) or options()[name]
    result, hint = _typed(schema, value)
    if not hint and not next(_validator(name).iter_errors(result), None):
        hint = _respacing_hint(name, result)
        if not hint:
            return result
    hint = hint or _hint(name, schema, result)
    raise RefusedError(
        f"found {show(value)}; allowed: {allowed(schema)}{f'. {hint}' if hint else ''}"
    )


def control_character(text: str) -> str:
    """Return the name of the first character that no prompt may hold, or nothing.

    Control characters, line and paragraph separators, and halves of surrogate pairs.
    """
    if text.isprintable():
        return ""
    for place, character in enumerate(text, start=1):
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            return f"U+{ord(character):04X} at character {place}"
    return ""


@functools.cache
def _schema(name: str) -> Schema:
    schema = yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return dict(schema)


@functools.cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(columns().get(name) or options()[name])


def _types(schema: Schema) -> set[str]:
    return {part["type"] for part in schema.get("anyOf", [schema])}


def _typed(schema: Schema, value: object) -> tuple[Any, str]:
    """Return the value in the option's type and an empty hint, or anything and what is wrong."""
    types = _types(schema)
    match value:
        case str():
            return _typed_text(types, value)
        case bool():
            if "boolean" in types:
                return value, ""
            quotes = " In quotes it would be text." if "string" in types else ""
            return value, f"YAML reads yes, no, on and off as true and false.{quotes}"
        case int() if value.bit_length() > _LONGEST:
            return value, "It is far too large."
        case int() if "integer" in types:
            return value, ""
        case int() | float() if "number" in types:
            return _finite(value)
        case 0 | 1 if "boolean" in types:
            return bool(value), ""
        case float() if "integer" in types:
            return value, _whole_hint(value)
        case _ if "string" in types:
            return value, "Put it in quotes to make it text."
        case _:
            return value, "It is of another kind."


def _typed_text(types: set[str], text: str) -> tuple[Any, str]:
    word = text.strip()
    if found := control_character(text):
        return text, f"It holds a control character: {found}."
    if "integer" in types and _WHOLE.fullmatch(word):
        return int(word), ""
    if "string" in types:
        return word, ""
    if "boolean" in types:
        if word.lower() in _TRUE | _FALSE:
            return word.lower() in _TRUE, ""
        return text, suggest(word, ["true", "false", "yes", "no", "on", "off"]) or "It is neither."
    if "number" in types and _NUMBER.fullmatch(word):
        return _finite(float(word))
    if _DECIMAL_COMMA.fullmatch(word):
        point = word.replace(",", ".")
        with_point = f"Write the number with a point: {point}."
        return text, with_point if "number" in types else _whole_hint(float(point))
    if _NUMBER.fullmatch(word):
        return text, _whole_hint(float(word))
    if re.fullmatch(r"[+-]?(nan|\.nan|inf|\.inf|infinity)", word, re.IGNORECASE):
        return text, "It must be a finite number."
    return text, "It is not a number."


def _finite(number: float) -> tuple[float, str]:
    try:
        number = float(number) + 0.0  # -0.0 becomes 0.0
    except OverflowError:  # a whole number of more than 308 digits
        number = math.inf
    return number, "" if math.isfinite(number) else "It must be a finite number."


def _whole_hint(number: float) -> str:
    if math.isfinite(number) and number == int(number) and abs(number) < 1e15:
        return f"Write it as {int(number)}."
    return "It is not a whole number."


def _hint(name: str, schema: Schema, value: object) -> str:
    if name == "artwork":
        return _safe_name_hint(str(value))
    if isinstance(value, str):
        words = schema.get("enum") or re.findall(r"`(\w+)`", allowed(schema))
        return "" if name == "prompt" else suggest(value, words)
    return ""


def _safe_name_hint(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", plain)[:100].strip("-._")
    if not _validator("artwork").is_valid(plain):
        plain = f"my-{plain}"
    return f"For instance: `{plain}`." if _validator("artwork").is_valid(plain) else ""


def _respacing_hint(name: str, value: object) -> str:
    """Say why ``ddimN`` cannot be: N steps with one stride must exist among 1000."""
    found = _DDIM.fullmatch(value) if name == "upsample_steps" and isinstance(value, str) else None
    if not found:
        return ""
    counts = sorted({math.ceil(1000 / stride) for stride in range(1, 501)})
    wanted = int(found[1])
    if wanted in counts:
        return ""
    nearest = sorted(counts, key=lambda count: (abs(count - wanted), count))[:2]
    return (
        f"No even stride takes {wanted} of 1000 steps; the nearest are "
        f"{' and '.join(f'`ddim{count}`' for count in sorted(nearest))}."
    )
