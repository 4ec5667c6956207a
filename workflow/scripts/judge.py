"""Choose the candidate that agrees best with the prompt, as noised CLIP sees its thumbnail.

The picture that it writes is that candidate, and its recipe has the agreement of each. A choice
stays: where the picture is there already, chosen among the same thumbnails for the same prompt, it
shows the same candidate again, whatever CLIP would say now. Delete it to have it chosen anew.
"""

import argparse
import contextlib
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bigart.commands import clip_command, command, network_command
from bigart.config.options import add_option
from bigart.config.plain_text import plain
from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.networks.upstream.network import UpstreamNetwork
from bigart.pictures import images
from bigart.pictures.images import Picture
from bigart.running.device import Device
from bigart.running.engines import NATIVE
from bigart.sampling.candidates import as_low_res

log = logging.getLogger("bigart")

STAGE = "chosen"
DIGITS = 4  # of an agreement, in the recipe


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, nargs="+", help="the candidates 1, 2, 3 ...")
    parser.add_argument("--thumbnails", required=True, nargs="+", help="theirs, in that order")
    add_option(parser, "--prompt", "prompt")
    parser.add_argument("--artwork", default="", help="the artwork's name; it changes nothing")
    parser.add_argument("--out", required=True, help="the PNG to write")
    parser.add_argument("--vocabulary", required=True, help="encoder.json of GLIDE's tokenizer")
    parser.add_argument("--merges", required=True, help="vocab.bpe of GLIDE's tokenizer")
    clip_command.add_arguments(parser)
    network_command.add_machine_arguments(parser)
    command.main(parser, run)


@torch.no_grad()
def run(arguments: argparse.Namespace) -> None:
    """Write the chosen candidate."""
    if len(arguments.images) != len(arguments.thumbnails):
        raise UserError(
            f"{len(arguments.images)} candidates and {len(arguments.thumbnails)} thumbnails"
        )
    thumbnails = [images.read_rgb(path) for path in arguments.thumbnails]
    among = _digest(thumbnails, arguments.prompt)
    record = _kept(arguments.out, among) or _judged(arguments, thumbnails)
    record["among"] = among
    path = arguments.images[record["candidate"] - 1]
    made = recipe.extend(picture_file.recipe_so_far(path), STAGE, **record)
    picture_file.write_picture(arguments.out, images.read_rgb(path), made)


def _judged(arguments: argparse.Namespace, thumbnails: Sequence[Picture]) -> dict[str, Any]:
    """Return the best candidate's number, the agreement of each, and who says so."""
    shapes = {picture.shape[:2] for picture in thumbnails}
    height, width = max(shapes)
    if len(shapes) > 1 or height != width:
        raise UserError("the thumbnails must be square and of one size")
    network_command.use_threads(arguments)
    device = Device.choose(arguments.device, "fp32")
    judge, models, _ = clip_command.open_judge(arguments, arguments.prompt, device, height)
    log.info("model %s on %s, engine %s", arguments.clip_image, device, arguments.engine)
    with device.locked():
        # one by one: the same for any number of candidates
        pictures = as_low_res(thumbnails, device.device)
        found = [float(judge.agreement(picture, 0)) for picture in pictures.split(1)]
    best = max(range(len(found)), key=found.__getitem__) + 1
    shown = [round(agreement, DIGITS) for agreement in found]
    log.info("agreement with the prompt: %s; the best is %d", ", ".join(map(str, shown)), best)
    encoder = judge.encoder
    engine = encoder.package.described if isinstance(encoder, UpstreamNetwork) else NATIVE
    return {"candidate": best, "agreement": shown, "engine": engine, "models": models}


def _kept(path: str, among: str) -> dict[str, Any] | None:
    """Return what was recorded when the picture was written, if its choice is still to be had."""
    found: recipe.Recipe = {"stages": []}
    with contextlib.suppress(UserError):
        found = picture_file.read_recipe(path) if Path(path).exists() else found
    records = (record for record in reversed(found["stages"]) if record.get("stage") == STAGE)
    former: dict[str, Any] = next(records, {})
    if former.get("among") != among:
        return None
    log.info("candidate %s stays chosen: the candidates are the same", former["candidate"])
    return {name: value for name, value in former.items() if name not in ("stage", "versions")}


def _digest(thumbnails: Sequence[Picture], prompt: str) -> str:
    """Return what stands for pictures and prompt: 16 hexadecimal digits."""
    parts = [plain(prompt).encode("utf-8", "surrogatepass")]
    parts += [repr(picture.shape).encode() + picture.tobytes() for picture in thumbnails]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


if __name__ == "__main__":
    main()
