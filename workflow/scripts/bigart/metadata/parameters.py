"""The text ``parameters``, from which other programs read how a picture was made.

AUTOMATIC1111's web UI began it; its forks, viewers (infinite-image-browsing, SD Prompt Reader) and
picture sites read it: in a PNG a text chunk of that name, in a JPEG the Exif field UserComment.

    a painting of a sunset over a lake
    Negative prompt: blurry
    Steps: 400, Sampler: DDPM, CFG scale: 2, Seed: 7, Size: 4096x4096, Model hash: 0a1b2c3d4e, ...

Readers go by the beginnings of lines, and split the last line at its commas. So a prompt is one
line here, and where it would be taken for something else, it has a zero width space (U+200B).
Nobody sees that, and the plain form of a prompt is without it.
"""

import re
from collections.abc import Mapping
from typing import Any

from bigart.metadata.recipe import Recipe

CHUNK = "parameters"
#: The names that other programs have for the samplers.
SAMPLERS = {"ancestral": "DDPM", "ddim": "DDIM", "dpm++": "DPM++ 2M", "dpm++sde": "DPM++ 2M SDE"}

_UNSEEN = "\u200b"
_BREAKS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]+")
_SURROGATES = re.compile("[\ud800-\udfff]")
# SD Prompt Reader looks for the first anywhere; the others begin something else than a prompt:
# a record in JSON (it), an enlargement (infinite-image-browsing), settings and templates (sites)
_NEGATIVE = re.compile("(negative prompt):", re.IGNORECASE)
_BEGINNINGS = re.compile(r"\{|Postprocess|(?:Steps|Template|Negative Template):", re.IGNORECASE)
_RECORDED = (
    "prompt",
    "negative_prompt",
    "seed",
    "steps",
    "sampler",
    "guidance",
    "strength",
    "models",
)


def generation(recipe: Recipe) -> dict[str, Any]:
    """Return what a recipe says about the picture that was painted from the prompt."""
    record: Mapping[str, Any] = next((s for s in recipe["stages"] if s.get("prompt")), {})
    unused = ("guidance", "negative_prompt") if record.get("guide") == "clip" else ()
    return {name: record[name] for name in _RECORDED if name in record and name not in unused}


def text(recipe: Recipe, size: tuple[int, int]) -> str:
    """Return the text, or nothing for a picture that no prompt made.

    Args:
        recipe: How the picture was made.
        size: Its width and height in pixels.
    """
    made = generation(recipe)
    if not made:
        return ""
    models = made.get("models")
    file, digest = next(iter(models.items() if isinstance(models, dict) else ()), ("", ""))
    sampler = made.get("sampler")
    settings = {
        "Steps": made.get("steps"),
        "Sampler": SAMPLERS.get(str(sampler), sampler),
        "CFG scale": made.get("guidance"),
        "Seed": made.get("seed"),
        "Denoising strength": made.get("strength"),
        "Size": f"{size[0]}x{size[1]}",
        "Model hash": str(digest)[:10],
        "Model": str(file).removesuffix(".safetensors"),
        "Version": f"BIG.art {recipe.get('bigart')}",
    }
    lines = [_prompt(made["prompt"])]
    if negative := _prompt(made.get("negative_prompt") or ""):
        lines.append(f"Negative prompt: {negative}")
    pairs = (
        f"{name}: {_value(value)}" for name, value in settings.items() if value not in ("", None)
    )
    return "\n".join([*lines, ", ".join(pairs)])


def user_comment(text: str) -> bytes:
    """Return the text as Exif's UserComment holds it in big-endian order, or nothing for none."""
    return b"UNICODE\0" + text.encode("utf-16-be") if text else b""


def _prompt(written: object) -> str:
    line = _line(written)
    line = _NEGATIVE.sub(rf"\1{_UNSEEN}:", line)
    return f"{_UNSEEN}{line}" if _BEGINNINGS.match(line) else line


def _value(written: object) -> str:
    if isinstance(written, float):
        written = f"{written:.15g}"
    return re.sub('[,:"]', "_", _line(written))


def _line(written: object) -> str:
    return _SURROGATES.sub("\ufffd", _BREAKS.sub(" ", str(written))).strip()
