"""Add texture, fine blurred noise, to a picture."""

import argparse

from bigart.commands import command
from bigart.config.options import add_option
from bigart.metadata import picture_file, recipe
from bigart.pictures import images
from bigart.pictures.texture import texture_picture
from bigart.sampling import noise


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="the picture to texture")
    parser.add_argument("--out", required=True, help="the PNG to write")
    add_option(parser, "--amount", "texture_amount")
    add_option(parser, "--size", "texture_size")
    add_option(parser, "--seed", "seed")
    add_option(parser, "--candidate", "choose")
    parser.add_argument(
        "--stage", default="texture", help="names the noise and the stage (default: texture)"
    )
    parser.add_argument(
        "--colour",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="a noise for each channel instead of one for all",
    )
    parser.add_argument("--mono", dest="colour", action="store_false", help="same as --no-colour")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Write the textured picture."""
    picture = images.read_rgb(arguments.image)
    height, width = picture.shape[:2]
    so_far = picture_file.recipe_so_far(arguments.image)
    candidate = recipe.candidate(so_far, arguments.candidate)
    textured = texture_picture(
        picture,
        lambda draw: noise.standard_normal(
            arguments.seed, arguments.stage, candidate, draw, (height, width)
        ),
        arguments.amount,
        arguments.size,
        arguments.colour,
    )
    made = recipe.extend(
        so_far,
        arguments.stage,
        amount=arguments.amount,
        size=arguments.size,
        colour=arguments.colour,
        seed=arguments.seed,
        candidate=candidate,
    )
    picture_file.write_picture(arguments.out, textured, made)


if __name__ == "__main__":
    main()
