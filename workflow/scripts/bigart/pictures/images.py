"""Pictures as arrays: read, converted, encoded.

A *picture* is a uint8 array (height, width, 3), sRGB: what lies in the files between stages.
An *image* is a float32 array (3, height, width) in [0, 1]: what the networks see.
"""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from bigart.errors import UserError
from bigart.pictures import colour, png

Picture = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

# What Pillow reads in full: of others it leaves out colours, depth or pages without a word.
_FORMATS = ("PNG", "JPEG", "MPO", "TIFF", "WEBP", "GIF", "BMP")
_HEIF = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"mif1", b"msf1")

_REDO = "if this workflow made it, delete it and run again"


@contextlib.contextmanager
def opened(path: Path | str) -> Iterator[Image.Image]:
    """Yield the opened picture; decode it inside the block, where Pillow finds most damage.

    Raises:
        UserError: The file is missing, empty, no picture, truncated or damaged.
        OSError: The disk refuses (permissions, input/output errors).
    """
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise UserError(f"there is no picture {path}") from None
    except UnidentifiedImageError:
        with Path(path).open("rb") as file:
            head = file.read(12)
        if head[4:8] == b"ftyp" and head[8:] in _HEIF:
            raise UserError(f"{path} is HEIC, as phones save it; export it as JPEG") from None
        raise UserError(f"{path} is empty or not a picture; {_REDO}") from None
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is far too large: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{path} is damaged or cut short ({error}); {_REDO}") from None


def read_rgb(path: Path | str) -> Picture:
    """Return a picture file as uint8 (height, width, 3), upright and in sRGB.

    Orientation is applied and colours are converted (see ``colour.to_srgb``). An alpha channel is
    dropped when it is opaque all over.

    Raises:
        UserError: The file is missing, damaged or no picture; or it holds transparency, more
            than 8 bits a channel, several pictures, or colours that cannot be converted.
        OSError: The disk refuses.
    """
    with opened(path) as image:
        set_upright(image, path)
        return np.array(colour.to_srgb(image, path))


def set_upright(image: Image.Image, path: Path | str) -> None:
    """Turn an opened picture as its orientation says, once it is one that is read whole.

    Raises:
        UserError: As ``read_rgb``, but for damage and colours.
    """
    _check_form(image, path)
    ImageOps.exif_transpose(image, in_place=True)
    if image.has_transparency_data:
        opaque, _ = image.convert("RGBA").getchannel("A").getextrema()
        if opaque != 255:
            raise UserError(f"{path} is partly transparent; save it without transparency")


def _check_form(image: Image.Image, path: Path | str) -> None:
    """Refuse a file of which Pillow would read only a part."""
    if image.format not in _FORMATS:
        raise UserError(f"{path} is of the format {image.format}; save it as PNG, JPEG or TIFF")
    deep = any(";16" in str(tile.args) for tile in getattr(image, "tile", []))
    if deep or image.mode.startswith(("I", "F")):
        raise UserError(f"{path} has more than 8 bits a channel; {colour.REMEDY}")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "LAB"):
        raise UserError(f"{path} has {image.mode} colours; {colour.REMEDY}")
    count = getattr(image, "n_frames", 1)
    if isinstance(image, TiffImageFile):
        previews = []
        for page in range(count):
            image.seek(page)
            previews.append(image.tag_v2.get(254, 0) & 1)  # NewSubfileType
        image.seek(0)
        if previews[0]:
            raise UserError(f"{path} begins with a preview, as camera raw does; {colour.REMEDY}")
        count = previews.count(0)
    if count > 1 and image.format != "MPO":  # beside a phone's picture there are its depths
        raise UserError(f"{path} holds {count} pictures (pages, or an animation); save one of them")


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


def encode(picture: Picture, kind: str, quality: int = 95, **metadata: Any) -> bytes:
    """Return a picture as the content of a file.

    PNG and TIFF are lossless; TIFF is LZW with a horizontal predictor, which every print shop
    reads. JPEG keeps colour at full resolution (4:4:4).

    Args:
        picture: uint8 (height, width, 3).
        kind: "PNG", "JPEG" or "TIFF".
        quality: JPEG quality, 1 to 100.
        metadata: Pillow's options for what the file says about itself; they change no pixel.
    """
    if kind == "PNG":
        return png.encode(picture, png_notes(**metadata))
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality, "subsampling": "4:4:4"},
        "TIFF": {
            "compression": "tiff_lzw",
            "tiffinfo": {**metadata.pop("tiffinfo", {}), 317: 2},  # Predictor: horizontal
        },
    }
    return _saved(Image.fromarray(np.ascontiguousarray(picture)), kind, **options[kind], **metadata)


def png_notes(**metadata: Any) -> bytes:
    """Return what a PNG says about itself, as the chunks between its header and its pixels.

    Args:
        metadata: Pillow's options for them.
    """
    return png.notes(_saved(Image.new("RGB", (1, 1)), "PNG", **metadata))


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    # in memory: where Pillow itself writes to a full disk, its error does not say so
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
