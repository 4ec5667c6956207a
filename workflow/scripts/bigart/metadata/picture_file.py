"""Picture files: their formats, and what they say about the picture besides its pixels.

The same picture and recipe give the same bytes. A file is written under a temporary name first,
so a file under its final name is whole.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, TiffTags
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from bigart import __version__
from bigart.errors import UserError
from bigart.metadata import parameters
from bigart.metadata import recipe as recipes
from bigart.metadata.recipe import Recipe
from bigart.pictures import colour, png
from bigart.pictures.images import Picture, encode, opened, png_notes
from bigart.running import files

Size = tuple[int, int]

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}


def write_picture(
    path: Path | str,
    picture: Picture,
    recipe: Recipe,
    dpi: float | None = None,
    quality: int = 95,
) -> None:
    """Write a picture in the format that the suffix of ``path`` names (see ``images.encode``).

    All formats carry an sRGB profile, the recipe, IPTC's marker and fields of a generated picture
    (XMP), and the print resolution where given. PNG and JPEG also carry the text ``parameters``.

    Args:
        path: The file to write.
        picture: uint8 (height, width, 3).
        recipe: How the picture was made.
        dpi: Print resolution in pixels per inch, 1 to 10000; None records none.
        quality: JPEG quality, 1 to 100.

    Raises:
        UserError: Unknown suffix, dpi or quality out of range, or a recipe that a JPEG has no
            room for (only a prompt of many thousand characters makes one).
        OSError: The disk is full or refuses; nothing is left under ``path``.
    """
    content = _content(path, picture, recipe, dpi, quality)
    with files.atomic(path) as temporary:
        temporary.write_bytes(content)


def write_pictures(
    paths: Sequence[Path | str], pictures: Sequence[Picture], recipes: Sequence[Recipe]
) -> None:
    """Write several pictures as ``write_picture`` does: all of them, or none.

    Raises:
        UserError, OSError: As ``write_picture``.
    """
    with files.atomic_together(paths) as temporaries:
        for temporary, picture, recipe in zip(temporaries, pictures, recipes, strict=True):
            temporary.write_bytes(_content(temporary, picture, recipe))


def _content(
    path: Path | str,
    picture: Picture,
    recipe: Recipe,
    dpi: float | None = None,
    quality: int = 95,
) -> bytes:
    kind = format_of(path)
    _check_dpi(dpi)
    if not 1 <= quality <= 100:
        raise UserError(f"quality is {quality}; allowed are 1 to 100")
    metadata = notes(kind, recipe, dpi, (picture.shape[1], picture.shape[0]))
    return encode(picture, kind, quality, icc_profile=colour.srgb_profile(), **metadata)


def notes(
    kind: str, recipe: Recipe, dpi: float | None, size: Size, *, srgb: bool = True
) -> dict[str, Any]:
    """Return Pillow's options for what a file of that format says of itself, but for its colours.

    Args:
        kind: Pillow's name of the format.
        recipe: How the picture was made.
        dpi: Print resolution in pixels per inch, or None.
        size: Width and height.
        srgb: Whether the colours are sRGB's.

    Raises:
        UserError: A JPEG has no room for the recipe.
    """
    if kind == "JPEG":
        return _jpeg(recipe, dpi, size, srgb)
    return {"PNG": _png, "TIFF": _tiff}[kind](recipe, dpi, size)


def copy_pixels(
    source: Path | str, path: Path | str, recipe: Recipe, dpi: float | None = None
) -> bool:
    """Write the picture of a PNG file as ``write_picture`` does, without decoding it.

    Args:
        source: The file of the picture.
        path: The file to write.
        recipe: How the picture was made.
        dpi: As of ``write_picture``.

    Returns:
        Whether that was possible: both are PNG, and the source is whole and says of itself exactly
        what ``write_picture`` writes without dpi, or wrote in older versions. Then its pixels are
        what ``read_rgb`` gives.

    Raises:
        UserError, OSError: As ``write_picture``.
    """
    _check_dpi(dpi)
    former, size = _recipe_and_size(source)
    if former is None or format_of(path) != "PNG":
        return False
    content, notes = Path(source).read_bytes(), _png_notes(recipe, size, dpi)
    forms = (_png_notes(former, size, for_others=for_others) for for_others in (True, False))
    changed = (png.with_notes(content, form, notes) for form in forms)
    if (new := next(filter(None, changed), None)) is None:
        return False
    with files.atomic(path) as temporary:
        temporary.write_bytes(new)
    return True


def _png_notes(
    recipe: Recipe, size: Size, dpi: float | None = None, *, for_others: bool = True
) -> bytes:
    metadata = _png(recipe, dpi, size, for_others=for_others)
    return png_notes(icc_profile=colour.srgb_profile(), **metadata)


def _check_dpi(dpi: float | None) -> None:
    if dpi is not None and not 1 <= dpi <= 10000:
        raise UserError(f"dpi is {dpi:g}; allowed are 1 to 10000")


def format_of(path: Path | str) -> str:
    """Return Pillow's name of the format that the suffix of ``path`` stands for, if it has one."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"cannot write {path}: its name must end in .png, .jpg or .tif")
    return FORMATS[suffix]


def _png(
    recipe: Recipe, dpi: float | None, size: Size, *, for_others: bool = True
) -> dict[str, Any]:
    """Return Pillow's options; as older versions wrote them without what is for other programs."""
    info = PngInfo()
    info.add_itxt(recipes.CHUNK, recipes.to_json(recipe))
    info.add_itxt("XML:com.adobe.xmp", recipes.to_xmp(recipe, of_ai=for_others).decode())
    if for_others and (text := parameters.text(recipe, size)):
        info.add_text(parameters.CHUNK, text)
    return {"pnginfo": info} | ({"dpi": (dpi, dpi)} if dpi else {})


def _jpeg(recipe: Recipe, dpi: float | None, size: Size, srgb: bool) -> dict[str, Any]:
    """Return Pillow's options; a very long prompt stands in the recipe alone."""
    xmp = recipes.to_xmp(recipe)
    if len(xmp) > recipes.JPEG_ROOM:
        xmp = recipes.to_xmp(recipe, of_ai=False)
    if len(xmp) > recipes.JPEG_ROOM:
        raise UserError(
            f"the recipe takes {len(xmp):,} bytes and a JPEG has room for {recipes.JPEG_ROOM:,}: "
            "shorten the prompt, or choose the format png or tif"
        )
    comment = parameters.user_comment(parameters.text(recipe, size))
    exif = _exif(dpi, size, comment if len(comment) <= recipes.JPEG_ROOM else b"", srgb)
    return {"xmp": xmp, "exif": exif} | ({"dpi": (round(dpi), round(dpi))} if dpi else {})


def _exif(dpi: float | None, size: Size, comment: bytes, srgb: bool) -> bytes:
    """Return a block of Exif (2.32); Pillow's own would give the comment another type."""
    head = b"MM\0*\0\0\0\x08"  # big-endian, as the comment is
    main, own = ImageFileDirectory_v2(head), ImageFileDirectory_v2(head, group=0x8769)
    main[0x0131] = f"BIG.art {__version__}"  # Software
    main[0x0213] = 1  # YCbCrPositioning: in the middle
    if dpi:
        main[0x011A] = main[0x011B] = float(dpi)  # XResolution, YResolution
        main[0x0128] = 2  # ResolutionUnit: inch
    own[0xA001] = 1 if srgb else 0xFFFF  # ColorSpace: sRGB, or what the profile says
    own[0xA002], own[0xA003] = size  # of the picture
    texts = {0x9000: b"0232", 0x9101: b"\1\2\3\0", 0x9286: comment}  # version, channels, comment
    for tag, content in texts.items():
        if content:
            own.tagtype[tag] = TiffTags.UNDEFINED
            own[tag] = content
    main.tagtype[0x8769] = TiffTags.LONG
    main[0x8769] = 0  # the place of its own part, which the length of this one tells
    main[0x8769] = place = len(head) + len(main.tobytes(len(head)))
    return b"Exif\0\0" + head + main.tobytes(len(head)) + own.tobytes(place)


def _tiff(recipe: Recipe, dpi: float | None, size: Size) -> dict[str, Any]:
    tags = {305: f"BIG.art {__version__}", 700: recipes.to_xmp(recipe)}  # Software, XMP
    resolution = {"resolution_unit": "inch", "x_resolution": dpi, "y_resolution": dpi}
    return {"tiffinfo": tags} | (resolution if dpi else {})


def read_recipe(path: Path | str) -> Recipe:
    """Return the recipe inside a PNG, JPEG or TIFF file.

    Raises:
        UserError: The file is missing or no picture, or it carries no recipe or a damaged one.
    """
    recipe = _read(path)
    if recipe is None:
        raise UserError(
            f"{path} carries no recipe: BIG.art did not make it, or a program that drops such "
            "notes has saved it since"
        )
    return recipe


def recipe_so_far(path: Path | str) -> Recipe:
    """Return the recipe that a stage continues: that of its input.

    The recipe of a picture without one begins with a stage "picture from elsewhere".

    Raises:
        UserError: The file is missing, no picture, or carries a damaged recipe.
    """
    start = recipes.start()
    return _read(path) or recipes.extend(start, "picture from elsewhere", file=Path(path).name)


@contextlib.contextmanager
def _of_any_size() -> Iterator[None]:
    """Let Pillow open pictures of any size: a print has more pixels than it takes by itself."""
    former, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = former


def _read(path: Path | str) -> Recipe | None:
    return _recipe_and_size(path)[0]


def _recipe_and_size(path: Path | str) -> tuple[Recipe | None, Size]:
    with _of_any_size(), opened(path) as image:
        size = image.size
        if image.format == "PNG" and not {recipes.CHUNK, "xmp"} & image.info.keys():
            image.load()  # other programs may write their notes behind the pixels
        chunk, packet = (image.info.get(name) for name in (recipes.CHUNK, "xmp"))
    try:
        if chunk:
            return recipes.from_json(chunk), size
        if packet:
            packet = packet.encode() if isinstance(packet, str) else bytes(packet)
            return recipes.from_xmp(packet), size
    except (ValueError, RecursionError) as error:
        raise UserError(f"the recipe in {path} cannot be read: {error}") from None
    return None, size
