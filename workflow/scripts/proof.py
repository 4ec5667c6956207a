"""Write the proof of a print: pages to look at, and to print, before the print is ordered."""

import argparse
from pathlib import Path
from typing import Any

from PIL import Image

from bigart import __version__
from bigart.commands import command
from bigart.config import print_size
from bigart.metadata import picture_file, recipe
from bigart.pictures import print_rows, proof
from bigart.running import files

_SHORT = 12  # digits of a hash


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="the final picture")
    parser.add_argument("--out", required=True, help="the PDF to write")
    parser.add_argument("--artwork", default="", help="the artwork's name, the title")
    parser.add_argument("--prompt", help="written as --prompt='...' (default: the recipe's)")
    parser.add_argument("--dpi", type=float, help="pixels per inch (default: the recipe's, or 300)")
    parser.add_argument("--bleed", type=float, help="in mm (default: the recipe's, or 0)")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Write the proof."""
    made = picture_file.recipe_so_far(arguments.image)
    for name, default in (("prompt", ""), ("dpi", 300), ("bleed", 0)):
        if getattr(arguments, name) is None:
            setattr(arguments, name, recipe.find(made, name) or default)
    bleed = print_size.of_length(arguments.bleed, "mm", arguments.dpi)
    with print_rows.opened_large(arguments.image) as image:
        sheet = proof.Sheet(
            title=arguments.artwork or Path(arguments.image).stem,
            prompt=arguments.prompt,
            facts=_facts(arguments, image, bleed, made),
            recipe=[*proof.blocks([_stage(stage) for stage in made["stages"]])],
            dpi=arguments.dpi,
            bleed=bleed,
            keywords=f"{recipe.NAMESPACE} BIG.art {__version__}",
        )
        content = proof.pages(image, arguments.image, sheet)
    with files.atomic(arguments.out) as temporary:
        temporary.write_bytes(content)


def _facts(
    arguments: argparse.Namespace, image: Image.Image, bleed: int, made: recipe.Recipe
) -> list[tuple[str, str]]:
    dpi = arguments.dpi
    width, height = (side - 2 * bleed for side in image.size)
    lengths = [
        " x ".join(f"{side / dpi * each:.1f}" for side in (width, height)) + f" {unit}"
        for unit, each in (("cm", 2.54), ("in", 1))
    ]
    facts = [
        ("size", lengths[0]),
        ("", lengths[1]),
        ("pixels", f"{width} x {height}"),
        ("resolution", f"{dpi:g} DPI"),
    ]
    if bleed:
        facts.append(("bleed", f"{arguments.bleed:g} mm ({bleed} pixels) on each side"))
        facts.append(("the file", f"{image.width} x {image.height} pixels"))
    facts.append(("colours", str(recipe.find(made, "profile") or "sRGB")))
    suffix = Path(arguments.image).suffix.removeprefix(".").upper()
    facts.append(("format", f"{suffix}, {Path(arguments.image).stat().st_size / 1e6:.1f} MB"))
    return facts


def _stage(stage: dict[str, Any]) -> tuple[str, dict[str, object]]:
    values: dict[str, object] = {}
    for name, value in stage.items():
        if name == "models":
            value = ", ".join(f"{file} ({digest[:_SHORT]})" for file, digest in value.items())
        elif isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        elif isinstance(value, list):
            value = " x ".join(map(str, value))
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        if name not in ("stage", "prompt") and value not in ("", None):
            values[name.replace("_", " ")] = value
    return str(stage.get("stage", "stage without a name")), values


if __name__ == "__main__":
    main()
