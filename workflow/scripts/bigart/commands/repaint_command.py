"""What the stages of GLIDE share that paint a part of a picture anew: the picture and its mask."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bigart.config import print_size
from bigart.config.options import add_option
from bigart.metadata import picture_file, recipe
from bigart.pictures import masks
from bigart.pictures.images import Picture
from bigart.running import files
from bigart.running.device import Device
from bigart.sampling.candidates import as_low_res
from bigart.sampling.repaint import Known


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the picture and its mask."""
    parser.add_argument("--former", required=True, help="the finished picture to begin from")
    parser.add_argument("--mask", required=True, help="a picture: white is painted anew")
    parser.add_argument("--repaint", default="", help="that picture's artwork, for the recipe")
    add_option(parser, "--bleed", "bleed")
    add_option(parser, "--dpi", "dpi")


def known(
    arguments: argparse.Namespace, side: int, device: Device
) -> tuple[Known, tuple[Picture, Picture], dict[str, Any]]:
    """Return what is known at a stage, the same as pictures, and for the recipe where it is from.

    Args:
        arguments: With those of ``add_arguments``.
        side: Of the stage's pictures, in pixels.
        device: Where the network is.

    Raises:
        UserError: One of the files cannot be used, or is no square.
    """
    bleed = print_size.of_length(arguments.bleed, "mm", arguments.dpi)
    small = masks.former_picture(arguments.former, bleed, side)
    anew = masks.touched(masks.read(arguments.mask, (1, 1)), side)
    mask = torch.from_numpy(~anew)[None, None].to(device.device)
    about = {
        "repaint": arguments.repaint,
        "former": files.sha256(arguments.former),
        "mask": Path(arguments.mask).name,
        "mask_sha256": files.sha256(arguments.mask),
    }
    if own := recipe.find(picture_file.recipe_so_far(arguments.former), "picture"):
        about["picture"] = own
    return Known(as_low_res([small], device.device), mask), (small, anew.astype(np.uint8)), about
