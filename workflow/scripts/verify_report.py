"""Compare what verify_stage.py wrote in both engines, and write it down for people and programs."""

import argparse
import base64
import io
import json
from pathlib import Path

import jinja2
import numpy as np
import numpy.typing as npt
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
    """Write figures and page; engines that differ are no error here, see verify_verdict.py.

    Raises:
        UserError: A file is missing, damaged, or not to be compared with its counterpart.
    """
    if len(arguments.native) != len(arguments.upstream):
        raise UserError("--native and --upstream need the same number of files")
    paths = zip(arguments.native, arguments.upstream, strict=True)
    pairs = [(compare.read(ours), compare.read(theirs)) for ours, theirs in paths]
    found = {"models": arguments.models, **compare.report(pairs)}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"megabytes": megabytes, "shown": compare.shown}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        found,
        pictures=[_pictures(*(run.results.get("picture") for run in pair)) for pair in pairs],
    )
    figures = json.dumps(found, indent=1, allow_nan=False)
    for path, text in ((arguments.json, figures), (arguments.html, page)):
        with files.atomic(path) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")


def _pictures(native: Picture | None, upstream: Picture | None) -> list[dict[str, str]]:
    """Return title and data address of both pictures, uint8 (n, n, 3), and of their difference.

    A stage that judges has no picture.
    """
    if native is None or upstream is None:
        return []
    difference = np.abs(native.astype(np.int16) - upstream).max(axis=2)
    # the largest of each block, so that nothing is lost where the picture is shown smaller
    for axis, length in enumerate(difference.shape):
        blocks = np.arange(0, length, -(-max(native.shape) // SIDE))
        difference = np.maximum.reduceat(difference, blocks, axis)
    amplified = np.minimum(difference * AMPLIFIED, 255).astype(np.uint8)
    shown = {
        "native": native,
        "upstream": upstream,
        f"difference, {AMPLIFIED} times": amplified,
    }
    return [{"title": title, "data": _as_data(picture)} for title, picture in shown.items()]


def _as_data(picture: npt.NDArray[np.uint8]) -> str:
    smaller = len(picture[0]) > SIDE
    buffer = io.BytesIO()
    Image.fromarray(picture).resize(
        (SIDE, SIDE), Image.Resampling.BOX if smaller else Image.Resampling.NEAREST
    ).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


if __name__ == "__main__":
    main()
