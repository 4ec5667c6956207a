"""What an artwork begins with, where that is not noise alone: one's own picture, another artwork.

Whether the rows of the table go together is checked whenever it is read; whether the files can be
used, before the first job that reads them.
"""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path

from bigart.config import print_size
from bigart.config.options import Artwork, Config
from bigart.errors import UserError, named, show, suggest
from bigart.metadata import made
from bigart.running import files
from bigart.stages import ALL, STAGES

#: Column and message.
Fault = tuple[str, str]
_SizeOf = Callable[[str], tuple[int, int] | None]

#: Folders of the results that are those of no artwork.
_OF_ALL = {"gallery", "proofs", "sweeps", "verify"}


def faults(
    artwork: Artwork, table: Mapping[str, Artwork], names: Set[str], results: str
) -> Iterator[Fault]:
    """Yield what is wrong with the source of an artwork.

    Args:
        artwork: The artwork.
        table: All artworks whose rows are right.
        names: What all rows are called, also wrong ones.
        results: The folder of the artworks.
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
        if path := getattr(artwork, column):
            yield from _path_faults(column, path, names, results)
    if artwork.guide != "text" and (artwork.is_begun or artwork.repaint):
        what = "repaint" if artwork.repaint else "strength"
        yield "guide", f"found '{artwork.guide}', which does not go with `{what}`; allowed: `text`"
    if artwork.repaint:
        yield from _former_faults(artwork, table, names)


def _path_faults(column: str, path: str, names: Set[str], results: str) -> Iterator[Fault]:
    found = f"found {show(path, 400)}"
    place = Path(os.path.relpath(path, results)).parts
    if len(place) > 1 and (place[0] in names or place[0] in _OF_ALL):
        other = ", or its artwork in `repaint`" if column == "picture" else ""
        allowed = f"allowed: a copy of it outside of {results}{other}"
        yield column, f"{found}, which is a result of this table; {allowed}"
    elif not os.path.isfile(path):  # noqa: PTH113 (thousands)
        yield column, f"{found}, and there is no such file"
    elif not os.access(path, os.R_OK):
        yield column, f"{found}, and that file may not be read; allowed: one that may (chmod +r)"


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
    theirs, as_it_is, at_their_dpi = (
        _frame(former, former.dpi),
        _frame(artwork, artwork.dpi),
        _frame(artwork, former.dpi),
    )
    columns = [
        column if at_their_dpi[column] != theirs[column] else "dpi"
        for column in theirs
        if as_it_is[column] != theirs[column]
    ]
    for column in dict.fromkeys(columns):
        usual = getattr(former, column)
        yield column, f"it is not that of {named(former.artwork)}; allowed: {show(str(usual))}"
    size = print_size.pixels(artwork.size, artwork.dpi)
    if size and size[0] != size[1]:
        message = f"found {show(artwork.size)}, and only a square picture can be painted anew"
        yield "size", f"{message}; allowed: `auto`, or one length"


def _frame(artwork: Artwork, dpi: int) -> dict[str, object]:
    """Return what two prints have in common whose pixels lie at the same places, by its column."""
    return {
        "size": print_size.pixels(artwork.size, dpi),
        "bleed": print_size.of_length(artwork.bleed, "mm", dpi),
        "profile": artwork.profile,
    }


def file_errors(
    config: Config, table: Mapping[str, Artwork], outputs: Set[str], side: int
) -> list[str]:
    """Return an error for each file that jobs will read, and that is of no use; each once.

    These are pictures, masks, and pictures that a person put in place of a final one.

    Args:
        config: The config.
        table: The artworks.
        outputs: The files that the jobs will write.
        side: Of a print whose `size` is `auto`, in pixels.
    """
    found: dict[Fault, list[str]] = {}
    picture_fault, mask_fault = functools.cache(_picture_fault), functools.cache(_mask_fault)
    size = functools.cache(_size)
    for name, row in table.items():
        faults_: list[Fault | None] = []
        if f"{config.results}/{name}/{STAGES['picture'].file}" in outputs:
            faults_.append(picture_fault(row.picture))
        if row.is_enlarged_only and _begins(config, row, "enlarged-4096", outputs):
            faults_ += _frame_faults(config, row, size(row.picture), side)
        if row.repaint and _begins(config, row, "thumbnails", outputs):
            faults_ += [mask_fault(row.mask), _repaint_fault(config, row, table, size, side)]
        for fault in filter(None, faults_):
            found.setdefault(fault, []).append(name)
    errors = []
    for (column, message), (first, *others) in found.items():
        more = f" and {len(others)} more" if others else ""
        errors.append(f"artwork {named(first)}{more}, column `{column}`: {message}")
    return errors


def _begins(config: Config, row: Artwork, name: str, outputs: Set[str]) -> bool:
    """Return whether jobs will make the pictures of a stage, or the final one."""
    files_ = {STAGES[name].file.format(candidate=1), f"final.{row.format}"}
    return not outputs.isdisjoint(f"{config.results}/{row.artwork}/{file}" for file in files_)


def _picture_fault(path: str) -> Fault | None:
    try:
        from bigart.pictures import own_picture
    except ImportError:  # Pillow is in an environment of its own: the first job tells
        return None
    try:
        own_picture.check(path)
    except (UserError, OSError) as error:
        return "picture", str(error)
    return None


def _mask_fault(path: str) -> Fault | None:
    try:
        from bigart.pictures import masks
    except ImportError:
        return None
    try:
        masks.read(path, (1, 1))
    except (UserError, OSError) as error:
        return "mask", str(error)
    return None


def _size(path: str) -> tuple[int, int] | None:
    """Return width and height of a picture of one's own; None where that is said elsewhere."""
    try:
        from bigart.pictures import own_picture

        return own_picture.size(path)
    except (ImportError, UserError, OSError):
        return None


def _frame_faults(
    config: Config, row: Artwork, size: tuple[int, int] | None, side: int
) -> Iterator[Fault]:
    """Yield that a picture of one's own has too few pixels around a crop, or for its bleed."""
    before = [stage.file for stage in ALL if "{" not in stage.file]
    folder = Path(config.results, row.artwork)
    if size is None or made.replaced(folder, [STAGES["picture"].file, *before]):
        return  # a picture by hand may have another shape
    from bigart.pictures import frame, own_picture

    what = f"{row.picture} has {size[0]} x {size[1]} pixels"
    wanted = print_size.pixels(row.size, row.dpi) or (side, side)
    if print_size.cuts(row.size):
        source = own_picture.fitted(size, (side // 4,) * 2) if row.detail else size
        try:
            frame.box(source, wanted, print_size.centre(row.crop))
        except UserError as outside:
            reason = print_size.crop_error(row.crop, row.size, row.dpi, size) or str(outside)
            yield "crop", f"found {show(row.crop)}, and {what}. {reason}"
    elif error := print_size.bleed_error(row.bleed, min(own_picture.fitted(size, wanted)), row.dpi):
        yield "bleed", f"found {row.bleed:g}, and {what}. {error}"


def _repaint_fault(
    config: Config, row: Artwork, table: Mapping[str, Artwork], size: _SizeOf, side: int
) -> Fault | None:
    """Return that the former print of an artwork cannot be painted anew, or is no square."""
    former = table[row.repaint]
    final = Path(config.results, former.artwork, f"final.{former.format}")
    if made.replaced(final.parent, [final.name]):
        return _by_hand_fault(row, final, side)
    first = row
    while first.repaint in table:
        first = table[first.repaint]
    if not first.is_enlarged_only or print_size.cuts(first.size):
        return None
    width, height = size(first.picture) or (1, 1)
    if width == height:
        return None
    return "repaint", (
        f"{first.picture} has {width} x {height} pixels, and only a square picture can be painted "
        "anew; crop it first"
    )


def _by_hand_fault(row: Artwork, final: Path, side: int) -> Fault | None:
    """Return that a new print cannot be laid over one that a person put in its place."""
    try:
        from bigart.pictures import images, masks
    except ImportError:
        return None
    size = print_size.pixels(row.size, row.dpi) or (side, side)
    bleed = print_size.of_length(row.bleed, "mm", row.dpi)
    try:
        with masks.opened_large(final) as image:
            images.set_upright(image, final)
            masks.check_former(image, final, size, bleed, row.profile)
    except (UserError, OSError) as error:
        return (
            "repaint",
            f"{error}. It was put there by hand; without it the workflow makes its own",
        )
    return None


def digest(path: str) -> str:
    """Return the SHA-256 of a picture or mask."""
    stat = Path(path).stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _digest(path: str, _size: int, _modified: int) -> str:
    return files.sha256(path)
