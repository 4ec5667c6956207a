"""Compare what verify_stage.py wrote in both engines, and write it down for people and programs."""

import argparse
import base64
import io
import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from bigart.commands import command
from bigart.errors import UserError
from bigart.pictures.images import Picture
from bigart.running import files
from bigart.running.progress import megabytes
from bigart.verify import compare

TEMPLATE = Path(__file__).parents[1] / "report" / "verify.html"
SIDE = 320  # of a picture in the report, in pixels
AMPLIFIED = 64


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--native", required=True, nargs="+", help="files of the native engine")
    parser.add_argument("--upstream", required=True, nargs="+", help="of the other, in that order")
    parser.add_argument("--models", default="", help="the model set's name, for the title")
    parser.add_argument("--json", required=True, help="the figures to write")
    parser.add_argument("--html", required=True, help="the page to write")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Write figures and page; to disagree is no fault here, see verify_verdict.py.

    Raises:
        UserError: A file is missing, damaged, or not to be compared with its counterpart.
    """
    if len(arguments.native) != len(arguments.upstream):
        raise UserError(
            f"{len(arguments.native)} native files, {len(arguments.upstream)} of the other engine"
        )
    pairs = [
        (compare.read(ours), compare.read(theirs))
        for ours, theirs in zip(arguments.native, arguments.upstream, strict=True)
    ]
    found = {"models": arguments.models, **compare.report(pairs)}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"megabytes": megabytes, "shown": compare.shown}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        found,
        pictures=[_pictures(*(run.results["picture"] for run in pair)) for pair in pairs],
        amplified=AMPLIFIED,
    )
    for path, text in (
        (arguments.json, json.dumps(found, indent=1, allow_nan=False)),
        (arguments.html, page),
    ):
        with files.atomic(path) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")


def _pictures(native: Picture, upstream: Picture) -> list[dict[str, Any]]:
    """Return title and data address of both pictures, uint8 (n, n, 3), and of their difference."""
    difference = np.abs(native.astype(np.int16) - upstream).max(axis=2)
    step = -(-max(difference.shape) // SIDE)
    # the largest of each block, so that nothing is lost where the picture is shown smaller
    whole = np.pad(difference, [(0, -length % step) for length in difference.shape])
    blocks = whole.reshape(len(whole) // step, step, -1, step).max(axis=(1, 3))
    amplified = np.minimum(blocks * AMPLIFIED, 255).astype(np.uint8)
    titles = {
        "native": Image.fromarray(native),
        "upstream": Image.fromarray(upstream),
        f"difference, {AMPLIFIED} times": Image.fromarray(amplified),
    }
    return [{"title": title, "data": _as_data(image)} for title, image in titles.items()]


def _as_data(image: Image.Image) -> str:
    smooth = image.width > SIDE
    image = image.resize((SIDE, SIDE), Image.Resampling.BOX if smooth else Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


if __name__ == "__main__":
    main()
