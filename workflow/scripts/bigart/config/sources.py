"""What an artwork begins with, where that is not noise alone: one's own picture, another artwork.

Whether the rows of the table go together is checked whenever it is read; whether the files can be
used, before the first job that reads them.
"""

import functools
import os
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from bigart.config import print_size
from bigart.config.options import Artwork, Config
from bigart.errors import UserError, named, show, suggest
from bigart.running import files
from bigart.stages import STAGES

#: Column and message.
Fault = tuple[str, str]


def faults(artwork: Artwork, table: Mapping[str, Artwork], names: Set[str]) -> Iterator[Fault]:
    """Yield what is wrong with the source of an artwork.

    Args:
        artwork: The artwork.
        table: All artworks whose rows are right.
        names: What all rows are called, also wrong ones.
    """
    if artwork.strength is not None and not artwork.picture:
        message = "it is how strongly `picture` is painted over, and that is blank"
        yield "strength", f"{message}; allowed: a picture beside it, or blank"
    if artwork.picture and artwork.repaint:
        yield "repaint", "an artwork begins with one of `picture` and `repaint`; allowed: one"
    if bool(artwork.repaint) != bool(artwork.mask):
        column, other = ("mask", "repaint") if artwork.repaint else ("repaint", "mask")
        yield column, f"it is blank, and `{other}` is not; allowed: both, or none"
    for column in ("picture", "mask"):
        path = getattr(artwork, column)
        if path and not os.path.isfile(path):  # noqa: PTH113 (thousands)
            yield column, f"found {show(path, 400)}, and there is no such file"
    if artwork.guide != "text" and (artwork.is_begun or artwork.repaint):
        what = "repaint" if artwork.repaint else "strength"
        yield "guide", f"found '{artwork.guide}', which does not go with `{what}`; allowed: `text`"
    if artwork.repaint:
        yield from _former_faults(artwork, table, names)


def _former_faults(
    artwork: Artwork, table: Mapping[str, Artwork], names: Set[str]
) -> Iterator[Fault]:
    former = table.get(artwork.repaint)
    if former is None:
        if artwork.repaint in {one.sweep for one in table.values()}:
            yield "repaint", f"{named(artwork.repaint)} lists values; allowed: one of its artworks"
        elif artwork.repaint not in names:  # else that row is wrong itself
            hint = suggest(artwork.repaint, table)
            yield "repaint", f"there is no artwork {named(artwork.repaint)}. {hint}".strip()
        return
    chain, name = [artwork.artwork], artwork.repaint
    while name in table and name not in chain:
        chain.append(name)
        name = table[name].repaint
    if name == artwork.artwork:
        circle = " repaints ".join(map(named, [*chain, name]))
        yield "repaint", f"it repaints itself: {circle}"
        return
    for column, mine, theirs in zip(
        ("size", "bleed", "profile"), _frame(artwork), _frame(former), strict=True
    ):
        if mine != theirs:
            usual = getattr(former, column)
            yield column, f"it is not that of {named(former.artwork)}; allowed: {show(str(usual))}"
    size = print_size.pixels(artwork.size, artwork.dpi)
    if size and size[0] != size[1]:
        message = f"found {show(artwork.size)}, and only a square picture can be painted anew"
        yield "size", f"{message}; allowed: `auto`, or one length"


def _frame(artwork: Artwork) -> tuple[object, ...]:
    """Return what two prints have in common whose pixels lie at the same places."""
    size = print_size.pixels(artwork.size, artwork.dpi)
    return size, print_size.of_length(artwork.bleed, "mm", artwork.dpi), artwork.profile


def file_errors(config: Config, table: Mapping[str, Artwork], outputs: Set[str]) -> list[str]:
    """Return an error for each picture or mask that jobs will read, and that is of no use.

    Args:
        config: The config.
        table: The artworks.
        outputs: The files that the jobs will write.
    """
    found: dict[str, None] = {}
    for name, row in table.items():
        folder = f"{config.results}/{name}"
        if row.picture and f"{folder}/{STAGES['picture'].file}" in outputs:
            found |= dict.fromkeys(_picture_errors(name, row))
        finals = {f"{folder}/final.{row.format}", f"{folder}/1-thumbnails/1.png"}
        if row.repaint and finals & outputs:
            found |= dict.fromkeys([*_mask_errors(name, row), *_shape_errors(name, row, table)])
    return [*found]


def _picture_errors(name: str, row: Artwork) -> Iterator[str]:
    try:
        from bigart.pictures import own_picture
    except ImportError:  # Pillow is in an environment of its own: the first job tells
        return
    try:
        own_picture.check(row.picture)
    except (UserError, OSError) as error:
        yield f"artwork {named(name)}, column `picture`: {error}"


def _mask_errors(name: str, row: Artwork) -> Iterator[str]:
    try:
        from bigart.pictures import masks
    except ImportError:
        return
    try:
        masks.read(row.mask, (1, 1))
    except (UserError, OSError) as error:
        yield f"artwork {named(name)}, column `mask`: {error}"


def _shape_errors(name: str, row: Artwork, table: Mapping[str, Artwork]) -> Iterator[str]:
    """Yield that an artwork would repaint a picture which is no square."""
    first = row
    while first.repaint in table:
        first = table[first.repaint]
    if not first.is_enlarged_only:
        return
    try:
        from bigart.pictures import own_picture

        width, height = own_picture.size(first.picture)
    except (ImportError, UserError, OSError):
        return  # said elsewhere
    if width != height:
        yield (
            f"artwork {named(name)}, column `repaint`: {first.picture} has {width} x {height} "
            "pixels, and only a square picture can be painted anew; crop it first"
        )


def digest(path: str) -> str:
    """Return the SHA-256 of a picture or mask."""
    stat = Path(path).stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _digest(path: str, _size: int, _modified: int) -> str:
    return files.sha256(path)
