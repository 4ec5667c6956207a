"""Reading and writing pictures.

A *picture* is a uint8 array (height, width, 3), sRGB: what lies in the files between stages.
An *image* is a float32 array (3, height, width) in [0, 1]: what the networks see.

The writers give the same bytes for the same picture and recipe, and finish under a temporary
name first: a file under its final name is whole.
"""

import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from bigart import __version__
from bigart.errors import UserError
from bigart.metadata import recipe as recipes
from bigart.pictures.pillow import opened
from bigart.running import files

Picture = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}

# A textured 4096 px picture takes 2.1 s and 33.1 MB at level 1, 2.7 s and 33.0 MB at 3, 4.1 s and
# 29.3 MB at 6 (zlib-ng on one core).
PNG_LEVEL = 1


def read_rgb(path: Path | str) -> Picture:
    """Return a picture file as uint8 (height, width, 3).

    Grey and palette pictures become RGB; an alpha channel is dropped when it is opaque all over.
    Colour profiles are not applied: the pixels are taken as sRGB.

    Args:
        path: Any format that Pillow reads.

    Raises:
        UserError: The file is missing, damaged or no picture; or it holds transparency, more
            than 8 bits a channel, or colours other than grey and RGB.
        OSError: The disk refuses.
    """
    with opened(path) as image:
        deep = any(";16" in str(tile.args) for tile in getattr(image, "tile", []))
        if deep or image.mode.startswith(("I", "F")):
            raise UserError(f"{path} has more than 8 bits a channel; save it as 8-bit RGB")
        if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
            raise UserError(f"{path} has {image.mode} colours; save it as 8-bit RGB")
        if image.has_transparency_data:
            opaque, _ = image.convert("RGBA").getchannel("A").getextrema()
            if opaque != 255:
                raise UserError(f"{path} is partly transparent; save it without transparency")
        return np.array(image.convert("RGB"))


def to_float(picture: Picture) -> FloatImage:
    """Turn a picture, uint8 (height, width, 3), into float32 (3, height, width) in [0, 1]."""
    image = np.empty((picture.shape[2], *picture.shape[:2]), np.float32)
    np.divide(picture.transpose(2, 0, 1), np.float32(255), out=image)
    return image


def to_uint8(image: npt.NDArray[np.floating]) -> Picture:
    """Turn an image, (3, height, width) in [0, 1], into uint8 (height, width, 3).

    Values beyond [0, 1] are clipped, then rounded to the nearest of 256 levels (halves to the
    even one). ``to_uint8(to_float(picture))`` is ``picture`` exactly.

    Raises:
        UserError: The image holds NaN or infinities.
    """
    picture = np.empty((*image.shape[1:], image.shape[0]), np.uint8)
    for channel, values in enumerate(image):
        if not np.isfinite(values).all():
            raise UserError(
                "the network's result holds values that are not numbers; try 'precision: fp32' in "
                "config.yaml, and check the model files"
            )
        levels = np.clip(values, 0, 1)
        levels *= 255
        picture[..., channel] = np.rint(levels, out=levels)
    return picture


def write_png(path: Path | str, picture: Picture, recipe: recipes.Recipe) -> None:
    """Write a picture between two stages: lossless PNG with its recipe.

    Raises:
        UserError: The name does not end in .png: other programs would take the file for another.
        OSError: The disk is full or refuses; nothing is left under ``path``.
    """
    if Path(path).suffix.lower() != ".png":
        raise UserError(f"cannot write {path}: its name must end in .png")
    _write(path, _png(picture, recipe, dpi=None))


def write_picture(
    path: Path | str,
    picture: Picture,
    recipe: recipes.Recipe,
    dpi: float | None = None,
    quality: int = 95,
) -> None:
    """Write a picture for people, in the format that the suffix of ``path`` names.

    All formats carry an sRGB profile, the recipe and the marker of a generated picture (XMP),
    and the print resolution where given.

    - ``.png``: lossless.
    - ``.jpg``: full-resolution colour (4:4:4). XMP in a JPEG has room for 65 kB.
    - ``.tif``: lossless, LZW with a horizontal predictor, which every print shop reads.

    Args:
        path: The file to write.
        picture: uint8 (height, width, 3).
        recipe: How the picture was made.
        dpi: Print resolution in pixels per inch, recorded in the file; None records none.
        quality: JPEG quality, 1 to 100.

    Raises:
        UserError: Unknown suffix, dpi or quality out of range, or a recipe that a JPEG has no
            room for (only a prompt of many thousand characters makes one).
        OSError: The disk is full or refuses; nothing is left under ``path``.
    """
    kind = format_of(path)
    if dpi is not None and not 1 <= dpi <= 10000:
        raise UserError(f"dpi is {dpi:g}; allowed are 1 to 10000")
    if not 1 <= quality <= 100:
        raise UserError(f"quality is {quality}; allowed are 1 to 100")
    if kind == "PNG":
        _write(path, _png(picture, recipe, dpi))
    elif kind == "JPEG":
        _write(path, _jpeg(picture, recipe, dpi, quality))
    else:
        _write(path, _tiff(picture, recipe, dpi))


def format_of(path: Path | str) -> str:
    """Return Pillow's name of the format that the suffix of ``path`` stands for.

    Raises:
        UserError: The suffix is none of those that can be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"cannot write {path}: its name must end in .png, .jpg or .tif")
    return FORMATS[suffix]


@functools.cache
def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB, the same bytes every time.

    LittleCMS writes the present time into bytes 24 to 35 of the header; the first of January
    2000 stands there instead.
    """
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = b"".join(n.to_bytes(2, "big") for n in (2000, 1, 1, 0, 0, 0))
    return bytes(profile)


# The encoders work in memory: when Pillow writes to a full disk itself, its message does not
# say that the disk is full.


def _png(picture: Picture, recipe: recipes.Recipe, dpi: float | None) -> bytes:
    info = PngInfo()
    info.add_itxt(recipes.CHUNK, recipes.to_json(recipe))
    info.add_itxt("XML:com.adobe.xmp", recipes.to_xmp(recipe).decode())
    resolution = {"dpi": (dpi, dpi)} if dpi else {}
    return _encode(picture, "PNG", pnginfo=info, compress_level=PNG_LEVEL, **resolution)


def _jpeg(picture: Picture, recipe: recipes.Recipe, dpi: float | None, quality: int) -> bytes:
    xmp = recipes.to_xmp(recipe)
    if len(xmp) > recipes.JPEG_ROOM:
        raise UserError(
            f"the recipe takes {len(xmp):,} bytes and a JPEG has room for {recipes.JPEG_ROOM:,}: "
            "shorten the prompt, or choose the format png or tif"
        )
    exif = Image.Exif()
    exif[0x0131] = f"BIG.art {__version__}"  # Software
    exif.get_ifd(0x8769)[0xA001] = 1  # ColorSpace: sRGB
    resolution = {}
    if dpi:
        exif[0x011A] = exif[0x011B] = float(dpi)  # XResolution, YResolution
        exif[0x0128] = 2  # ResolutionUnit: inch
        resolution = {"dpi": (round(dpi), round(dpi))}
    options = {"quality": quality, "subsampling": "4:4:4", "xmp": xmp, "exif": exif}
    return _encode(picture, "JPEG", **options, **resolution)


def _tiff(picture: Picture, recipe: recipes.Recipe, dpi: float | None) -> bytes:
    tags = {305: f"BIG.art {__version__}", 317: 2, 700: recipes.to_xmp(recipe)}
    resolution = {"resolution_unit": "inch", "x_resolution": dpi, "y_resolution": dpi}
    options = resolution if dpi else {}
    return _encode(picture, "TIFF", compression="tiff_lzw", tiffinfo=tags, **options)


def _encode(picture: Picture, kind: str, **options: Any) -> bytes:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"not a picture: {picture.dtype} {picture.shape}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(
        buffer, kind, icc_profile=srgb_profile(), **options
    )
    return buffer.getvalue()


def _write(path: Path | str, content: bytes) -> None:
    with files.atomic(path) as temporary:
        temporary.write_bytes(content)
