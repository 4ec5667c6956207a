"""What the numbers of a picture file mean, and the way from there to sRGB.

A file says it with an ICC profile; a PNG may also say it in chunks, a camera's JPEG in Exif. Where
nothing is said it is sRGB.
"""

import functools
import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms

from bigart.errors import UserError

REMEDY = "save it as 8-bit RGB in sRGB"

Curve = npt.NDArray[np.float64]


def power(gamma: float, slope: float = 1, offset: float = 0, start: float = 0) -> Curve:
    """Return the linear light of 1024 levels: of a power, with a straight part below ``start``."""
    level = np.linspace(0, 1, 1024)
    return np.where(level < start, level / slope, ((level + offset) / (1 + offset)) ** gamma)


# Chromaticities (x, y) of white, red, green and blue, as in PNG's cHRM chunk, and curves.
D65 = (0.3127, 0.3290)
SRGB = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
SRGB_CURVE = power(2.4, 12.92, 0.055, 0.04045)  # IEC 61966-2-1
ADOBE = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_CURVE = power(563 / 256)
BT709_CURVE = power(1 / 0.45, 4.5, 0.099, 0.081)

# ITU-T H.273, tables 2 and 3: the code points in PNG's cICP chunk that 8 bits can hold.
_PRIMARIES = {
    1: SRGB,
    9: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2020
    12: (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
}
_TRANSFERS = {
    **dict.fromkeys((1, 6, 14, 15), BT709_CURVE),
    4: power(2.2),
    5: power(2.8),
    8: power(1),
    13: SRGB_CURVE,
}

_D50 = np.array([0.9642, 1.0, 0.8249])  # of the profile connection space
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def to_srgb(image: Image.Image, path: Path | str) -> Image.Image:
    """Return an opaque picture as RGB in sRGB.

    Numbers stay as they are where they differ by no more than one level.

    Args:
        image: Of mode 1, L, LA, P, PA, RGB, RGBA, CMYK or LAB; an alpha channel is dropped.
        path: Its file.

    Raises:
        UserError: The file describes its colours in a way that cannot be converted.
    """
    mode = {"1": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGBA": "RGB"}.get(image.mode, image.mode)
    profile = _profile(image, path)
    if profile is None:
        if mode not in ("L", "RGB"):
            raise UserError(f"{path} has {mode} colours and no colour profile; {REMEDY}")
        return image.convert("RGB")
    try:
        if mode == "L" and _space(profile) == "RGB":
            mode = "RGB"
        transform = _transform(profile, mode)
    except (OSError, ValueError, ImageCms.PyCMSError) as error:
        raise UserError(f"{path} has a colour profile of no use ({error}); {REMEDY}") from None
    if transform is None:
        return image.convert("RGB")
    return transform.apply(image if image.mode == mode else image.convert(mode))


def _profile(image: Image.Image, path: Path | str) -> bytes | None:
    """Return the ICC profile of a picture, or one that says the same; None is sRGB.

    For PNG in the order of its specification (third edition, 4.3): cICP, iCCP, sRGB, gAMA and cHRM.
    """
    if image.mode == "LAB":  # the profile of a TIFF describes RGB and CMYK alone
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    info = image.info
    if image.format == "PNG" and (code := _code_points(path)):
        return _coded(code, path)
    embedded = info.get("icc_profile", b"")
    if embedded is None:
        raise UserError(f"{path} has a damaged colour profile; {REMEDY}")
    if embedded or "srgb" in info:
        return embedded or None
    if {"gamma", "chromaticity"} & info.keys():
        return _calibrated(info.get("gamma"), info.get("chromaticity"), path)
    if "exif" in info and image.getexif().get_ifd(ExifTags.IFD.Interop).get(1) == "R03":
        return rgb_profile(ADOBE, ADOBE_CURVE)  # DCF 2.0: an "optional" file of a camera
    return None


def _calibrated(gamma: float | None, points: Sequence[float] | None, path: Path | str) -> bytes:
    """Return the profile of a PNG's gAMA and cHRM; 1 / 2.2 means sRGB's curve, as in libpng."""
    same = points is None or np.abs(np.subtract(points, SRGB)).max() < 0.001
    if gamma is None or (same and abs(gamma - 0.45455) < 0.0005):
        curve = SRGB_CURVE
    elif gamma > 0:
        curve = power(1 / gamma)
    else:
        raise UserError(f"{path} has a gAMA chunk of {gamma:g}; {REMEDY}")
    try:
        return rgb_profile(SRGB if points is None else points, curve)
    except (ArithmeticError, ValueError, np.linalg.LinAlgError):
        raise UserError(f"{path} has a cHRM chunk of no colours {points}; {REMEDY}") from None


def _coded(code: bytes, path: Path | str) -> bytes:
    primaries, transfer, matrix, full_range = code
    if primaries in _PRIMARIES and transfer in _TRANSFERS and (matrix, full_range) == (0, 1):
        return rgb_profile(_PRIMARIES[primaries], _TRANSFERS[transfer])
    kind = {16: " (HDR: PQ)", 18: " (HDR: HLG)"}.get(transfer, "")
    raise UserError(f"{path} has the colours of cICP {'/'.join(map(str, code))}{kind}; {REMEDY}")


def _code_points(path: Path | str) -> bytes | None:
    """Return a PNG's cICP chunk, which Pillow passes over."""
    with Path(path).open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"cICP" and length == 4:
                return file.read(4)
            if kind == b"IDAT":
                break
            file.seek(length + 4, io.SEEK_CUR)
    return None


def _space(profile: bytes) -> str:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion to sRGB, None where it changes nothing by more than a level.

    It is relative colorimetric with black point compensation, as editors have it.
    """
    space = _space(profile)
    if space != {"L": "GRAY", "LAB": "Lab"}.get(mode, mode):
        raise ValueError(f"it is for {space}, the picture is {mode}")
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode not in ("L", "RGB"):
        return transform
    levels = np.arange(0, 256, 15 if mode == "RGB" else 1, dtype=np.uint8)
    samples = np.stack(np.meshgrid(*[levels] * len(mode)), axis=-1).reshape(-1, 1, len(mode))
    sample = Image.fromarray(samples.squeeze(-1) if mode == "L" else samples)
    difference = np.array(transform.apply(sample), int) - np.array(sample.convert("RGB"), int)
    return None if np.abs(difference).max() <= 1 else transform


def rgb_profile(points: Sequence[float], curve: Curve, name: str = "RGB") -> bytes:
    """Return an ICC profile of version 2, which old software reads, too.

    Args:
        points: Chromaticities (x, y) of white, red, green and blue.
        curve: Linear light of levels evenly spaced from 0 to 1, the same for the three.
        name: What programs show.

    Raises:
        ArithmeticError: The points are those of no RGB space.
        numpy.linalg.LinAlgError: The same.
    """
    with np.errstate(all="raise"):
        xy = np.reshape(points, (4, 2)).T
        white, *colours = (np.stack([*xy, 1 - xy.sum(0)]) / xy[1]).T
        primaries = np.transpose(colours)
        primaries *= np.linalg.solve(primaries, white)
        scale = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
        primaries = np.linalg.solve(_BRADFORD, scale @ _BRADFORD @ primaries)
    if not np.abs(primaries).max() < 2**14:
        raise ArithmeticError("the points are those of no RGB space")
    fixed = np.rint(primaries.T * 65536).astype(int)
    fixed[2] += np.rint(_D50 * 65536).astype(int) - fixed.sum(0)  # together exactly white

    def xyz(values: npt.NDArray[np.int_]) -> bytes:
        return struct.pack(">4s4x3i", b"XYZ ", *values)

    text = name.encode() + b"\0"
    description = struct.pack(f">4s4xI{len(text)}s78x", b"desc", len(text), text)
    levels = np.rint(curve * 65535).astype(">u2")
    tone = struct.pack(">4s4xI", b"curv", len(levels)) + levels.tobytes()
    tags = {
        b"desc": description,
        b"cprt": b"text\0\0\0\0No copyright, use freely\0",
        b"wtpt": xyz(np.rint(_D50 * 65536).astype(int)),
        **{b"%cXYZ" % c: xyz(v) for c, v in zip(b"rgb", fixed, strict=True)},
        **{b"%cTRC" % c: tone for c in b"rgb"},
    }
    body, table, places = b"", b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + b"\0" * (-len(data) % 4)
        table += struct.pack(">4sII", tag, places[data], len(data))
    first_of_2000 = (2000, 1, 1, 0, 0, 0)  # the same bytes every day
    head = struct.pack(
        ">I4xI4s4s4s6H4s28x3i48x",
        start + len(body),
        0x0210_0000,  # version 2.1
        *(b"mntr", b"RGB ", b"XYZ ", *first_of_2000, b"acsp"),
        *np.rint(_D50 * 65536).astype(int),
    )
    return head + struct.pack(">I", len(tags)) + table + body


@functools.cache
def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB."""
    return rgb_profile(SRGB, SRGB_CURVE, "sRGB IEC61966-2.1")
