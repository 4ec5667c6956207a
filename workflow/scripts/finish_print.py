"""Write a print of some size: cropped, exactly as large, with grain, bleed, profile and recipe."""

import argparse
import contextlib
from collections.abc import Iterable, Iterator

from PIL import Image

from bigart.commands import command
from bigart.config import print_size
from bigart.config.options import Config, add_option, checked
from bigart.errors import UserError, together
from bigart.metadata import picture_file, print_file, recipe
from bigart.pictures import frame, masks, print_grain, print_rows
from bigart.pictures.images import Picture
from bigart.running import files
from bigart.sampling import noise

#: The grain is that of this stage: a print of 4096 pixels has the same one.
GRAIN = "textured-4096"
#: Checked together, since one depends on another.
OPTIONS = {
    "size": "width and height: `auto`, `8192`, `6000x4000`, `50 cm`, `20x30 in`",
    "dpi": "pixels per inch",
    "crop": "the middle of the print in the picture, as two percentages",
    "bleed": "mirrored edge on each side, in mm",
    "profile": "`sRGB` or `Adobe RGB`",
    "quality": "of a JPEG, 1-100",
}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--image", help="the picture to finish, without grain")
    source.add_argument("--grained", help="the same, with its grain: none is added")
    parser.add_argument("--out", required=True, help="the print: .png, .jpg or .tif")
    parser.add_argument("--former", help="another print of that size, over which this one is laid")
    parser.add_argument("--mask", help="where: a picture, white is this print, black the other one")
    for name, words in OPTIONS.items():
        default = getattr(Config(), _option(name))
        help_words = f"{words} (default: {default})".replace("%", "%%")
        parser.add_argument(f"--{name}", default=default, help=help_words)
    add_option(parser, "--amount", "final_texture_amount")
    add_option(parser, "--texture-size", "final_texture_size")
    add_option(parser, "--seed", "seed")
    add_option(parser, "--candidate", "choose")
    command.main(parser, run)


def _option(name: str) -> str:
    return {"quality": "jpeg_quality"}.get(name, name)


def run(arguments: argparse.Namespace) -> None:
    """Write the print."""
    stated = {_option(name): getattr(arguments, name) for name in OPTIONS}
    options, wrong = checked(Config, stated)
    if options is None:
        raise together([f"{name}: {message}" for name, message in wrong.items()])
    path, dpi = arguments.image or arguments.grained, options.dpi
    made = picture_file.recipe_so_far(path)
    with contextlib.ExitStack() as opened:
        image = opened.enter_context(print_rows.opened_large(path))
        size = print_size.pixels(options.size, dpi) or image.size
        if print_size.is_one_length(options.size) and size[0] == max(image.size):
            size = image.size  # a picture of one's own keeps its shape: see enlarge_picture.py
        if error := print_size.bleed_error(options.bleed, min(size), dpi):
            raise UserError(error)
        box = frame.box(image.size, size, print_size.centre(options.crop))
        if box[2] - box[0] < size[0] or box[3] - box[1] < size[1]:
            raise UserError(
                f"{path} has {image.width} x {image.height} pixels, of which the print takes "
                f"{box[2] - box[0]} x {box[3] - box[1]}, and needs {size[0]} x {size[1]}: enlarge "
                "it first, with enlarge_print.py"
            )
        strips = print_rows.scaled(image, box, size, path)
        if arguments.image:
            candidate = recipe.candidate(made, arguments.candidate)
            grain = {"seed": arguments.seed, "candidate": candidate}
            noises = [
                noise.rows_of(stage=GRAIN, draw=draw, width=size[0], **grain) for draw in range(3)
            ]
            amount, grain_size = arguments.amount, arguments.texture_size
            if amount:
                strips = print_grain.grained(strips, size[1], noises, amount, grain_size)
            facts = {"amount": amount, "size": grain_size, "colour": True}
            made = recipe.extend(made, GRAIN, **facts, **grain)
        profile = None
        if options.profile != "sRGB":
            profile = print_rows.adobe_rgb_profile()
            strips = print_rows.converted(strips, profile)
        bleed = print_size.of_length(options.bleed, "mm", dpi)
        about = {}
        if arguments.former:
            former = opened.enter_context(print_rows.opened_large(arguments.former))
            strips = _laid_over(strips, former, size, bleed, options.profile, arguments)
            about = {"former": files.sha256(arguments.former)}
            about["mask_sha256"] = files.sha256(arguments.mask)
        strips = print_rows.with_bleed(strips, bleed)
        kind = picture_file.format_of(arguments.out)
        record = {"format": kind, "dpi": dpi, "size": options.size, "pixels": [*size]}
        record |= {"crop": options.crop, "bleed": options.bleed, "profile": options.profile}
        record |= about
        if kind == "JPEG":
            record["quality"] = options.jpeg_quality
        made = recipe.extend(made, "final", **record)
        whole = size[0] + 2 * bleed, size[1] + 2 * bleed
        print_file.write(arguments.out, whole, strips, made, dpi, options.jpeg_quality, profile)


def _laid_over(
    strips: Iterable[Picture],
    former: Image.Image,
    size: tuple[int, int],
    bleed: int,
    profile: str,
    arguments: argparse.Namespace,
) -> Iterator[Picture]:
    """Lay a print over a former one, where the mask is white."""
    masks.check_former(former, arguments.former, size, bleed, profile)
    mask = masks.read(arguments.mask, size)
    return masks.composite(strips, former, bleed, masks.weights(mask, size))


if __name__ == "__main__":
    main()
