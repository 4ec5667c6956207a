"""Add texture, fine blurred noise, to a picture."""

import argparse

from bigart.commands import command
from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.pictures import images
from bigart.pictures.texture import texture_picture
from bigart.sampling import noise


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="the picture to texture")
    parser.add_argument("--out", required=True, help="the PNG to write")
    parser.add_argument("--amount", type=float, default=0.037, help="0 to 0.15 (default: 0.037)")
    parser.add_argument(
        "--size", type=int, default=3, help="width of the blur, odd, 1 to 9 (default: 3)"
    )
    parser.add_argument("--seed", type=int, default=42, help="seed of the noise (default: 42)")
    parser.add_argument("--candidate", type=int, default=1, help="its number (default: 1)")
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
    if not 0 <= arguments.amount <= 0.15:
        raise UserError(f"texture amount is {arguments.amount:g}; allowed are 0 to 0.15")
    if arguments.size not in (1, 3, 5, 7, 9):
        raise UserError(f"texture size is {arguments.size}; allowed are 1, 3, 5, 7 and 9")
    picture = images.read_rgb(arguments.image)
    height, width = picture.shape[:2]
    so_far = picture_file.recipe_so_far(arguments.image)
    textured = texture_picture(
        picture,
        lambda draw: noise.standard_normal(
            arguments.seed, arguments.stage, arguments.candidate, draw, (height, width)
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
        candidate=arguments.candidate,
    )
    picture_file.write_png(arguments.out, textured, made)


if __name__ == "__main__":
    main()
