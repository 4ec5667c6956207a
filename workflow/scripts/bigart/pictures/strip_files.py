"""Picture files written strip by strip, so that the picture is never whole in memory.

Pillow's encoders compress each strip; here their parts are joined to one file. A PNG gets the same
bytes as from ``png.encode``, and a TIFF or JPEG the same pixels as from ``images.encode``. (TIFF
6.0; ITU-T T.81, annexes B and E: strips are restart intervals, which decoders of any kind read.)
"""

import io
import itertools
import struct
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import numpy as np
from PIL import Image

from bigart.errors import UserError
from bigart.pictures import png
from bigart.pictures.images import Picture, png_notes
from bigart.running.environment import cores

BYTES = 2**20  # of pixels in a strip
_BLOCK = 8  # rows and columns of a JPEG's block
_MOST_BLOCKS = 65535  # in a restart interval
_MOST_OF_JPEG = 65535  # pixels a side
_MOST_OF_TIFF = 2**32 - 2**20


def write(
    file: IO[bytes],
    kind: str,
    width: int,
    height: int,
    strips: Iterable[Picture],
    quality: int = 95,
    **metadata: Any,
) -> None:
    """Write a picture.

    Args:
        file: Open for writing, at its beginning.
        kind: "PNG", "JPEG" or "TIFF".
        width: In pixels.
        height: The same.
        strips: The picture from its top, each uint8 (rows, width, 3) with any number of rows.
        quality: JPEG quality, 1 to 100.
        metadata: Pillow's options for what the file says about itself.

    Raises:
        UserError: The format has no room for so many pixels.
    """
    if kind == "PNG":
        _write_png(file, width, height, strips, png_notes(**metadata))
    elif kind == "JPEG":
        _write_jpeg(file, width, height, strips, quality, metadata)
    else:
        _write_tiff(file, width, height, strips, metadata)


def cut(strips: Iterable[Picture], rows: int) -> Iterator[Picture]:
    """Yield the same rows in strips of another height; only the last one is lower."""
    waiting: list[Picture] = []
    count = 0
    for strip in strips:
        waiting.append(strip)
        count += len(strip)
        while count >= rows:
            joined = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            yield joined[:rows]
            count -= rows
            waiting = [joined[rows:]] if count else []
    if count:
        yield np.concatenate(waiting)


def _in_turn(pool: ThreadPoolExecutor, work: Any, parts: Iterable[Any]) -> Iterator[Any]:
    """Yield ``work(part)`` in order, and compute only a few parts in advance."""
    parts = iter(parts)
    running = [pool.submit(work, part) for part in itertools.islice(parts, 2 * cores())]
    while running:
        yield running.pop(0).result()
        running += [pool.submit(work, part) for part in itertools.islice(parts, 1)]


def _write_png(
    file: IO[bytes], width: int, height: int, strips: Iterable[Picture], notes: bytes
) -> None:
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    file.write(b"".join([png.SIGNATURE, _chunk(b"IHDR", head), notes]))

    def with_row_above() -> Iterator[tuple[Picture, int]]:
        above: Picture = np.zeros((0, width * 3), np.uint8)
        for strip in cut(strips, max(1, png.STRIP // (width * 3))):
            rows = np.concatenate([above, strip.reshape(len(strip), -1)])
            yield rows, len(above)
            above = rows[-1:]

    start, checksum = b"\x78\x01", zlib.adler32(b"")
    with ThreadPoolExecutor(cores()) as pool:
        parts = _in_turn(
            pool, lambda part: png._compressed(part[0], part[1], len(part[0])), with_row_above()
        )
        for filtered, compressed in parts:
            checksum = zlib.adler32(filtered, checksum)
            file.write(_chunk(b"IDAT", start + compressed))
            start = b""
    end = zlib.compressobj(wbits=-15).flush() + checksum.to_bytes(4)
    file.write(_chunk(b"IDAT", end) + _chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return b"".join([len(data).to_bytes(4), kind, data, checksum.to_bytes(4)])


def _encoded(picture: Picture, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, kind, **options)
    return buffer.getvalue()


def _write_jpeg(
    file: IO[bytes],
    width: int,
    height: int,
    strips: Iterable[Picture],
    quality: int,
    metadata: dict[str, Any],
) -> None:
    if max(width, height) > _MOST_OF_JPEG:
        raise UserError(
            f"a JPEG has room for {_MOST_OF_JPEG:,} pixels a side, not {width} x {height}: choose "
            "the format png or tif"
        )
    options = {"quality": quality, "subsampling": "4:4:4"}
    across = -(-width // _BLOCK)
    high = max(1, min(BYTES // (width * 3 * _BLOCK), _MOST_BLOCKS // across))  # blocks in a strip
    sample = _encoded(np.zeros((_BLOCK, _BLOCK, 3), np.uint8), "JPEG", **options, **metadata)
    for marker, segment, _ in _jpeg_segments(sample):
        if marker == 0xC0:  # the frame: its precision, height, width
            segment = segment[:5] + struct.pack(">2H", height, width) + segment[9:]
        if marker == 0xDA:  # the scan: before it, the length of a restart interval
            file.write(struct.pack(">4H", 0xFFDD, 4, high * across, 0)[:6])
        file.write(segment)

    def scan(strip: Picture) -> bytes:
        encoded = _encoded(strip, "JPEG", **options)
        *_, (_, _, end) = _jpeg_segments(encoded)
        return encoded[end:-2]  # without the end of the image

    with ThreadPoolExecutor(cores()) as pool:
        for number, part in enumerate(_in_turn(pool, scan, cut(strips, high * _BLOCK))):
            if number:
                file.write(bytes([0xFF, 0xD0 + (number - 1) % 8]))
            file.write(part)
    file.write(b"\xff\xd9")


def _jpeg_segments(encoded: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, bytes and end of each segment, up to that of the scan."""
    yield 0xD8, encoded[:2], 2
    place, marker = 2, 0
    while marker != 0xDA:
        marker = encoded[place + 1]
        end = place + 2 + int.from_bytes(encoded[place + 2 : place + 4])
        yield marker, encoded[place:end], end
        place = end


def _write_tiff(
    file: IO[bytes], width: int, height: int, strips: Iterable[Picture], metadata: dict[str, Any]
) -> None:
    rows = max(1, BYTES // (width * 3))
    tags = {**metadata.pop("tiffinfo", {}), 317: 2}  # Predictor: horizontal

    def compressed(strip: Picture) -> bytes:
        info = {317: 2, 278: len(strip)}
        encoded = _encoded(strip, "TIFF", compression="tiff_lzw", tiffinfo=info)
        found = _tiff_entries(encoded)
        [start], [length] = (struct.unpack("<I", found[tag][2]) for tag in (273, 279))
        return encoded[start : start + length]

    file.write(struct.pack("<2sHI", b"II", 42, 0))
    starts, lengths, place = [], [], 8
    with ThreadPoolExecutor(cores()) as pool:
        for part in _in_turn(pool, compressed, cut(strips, rows)):
            starts.append(place)
            lengths.append(len(part))
            part += b"\0" * (len(part) % 2)
            file.write(part)
            place += len(part)
    if place > _MOST_OF_TIFF:
        raise UserError(f"a TIFF has room for 4 GB, not for {place:,} bytes: choose the format png")
    sample = np.zeros((1, 1, 3), np.uint8)
    entries = _tiff_entries(
        _encoded(sample, "TIFF", compression="tiff_lzw", tiffinfo=tags, **metadata)
    )
    for tag, value in ((256, width), (257, height), (278, rows)):
        entries[tag] = 4, 1, struct.pack("<I", value)
    for tag, values in ((273, starts), (279, lengths)):
        entries[tag] = 4, len(values), struct.pack(f"<{len(values)}I", *values)
    directory, beside = [struct.pack("<H", len(entries))], b""
    behind = place + 2 + 12 * len(entries) + 4
    for tag, (kind, count, data) in sorted(entries.items()):
        if len(data) > 4:
            at = struct.pack("<I", behind + len(beside))
            beside += data + b"\0" * (len(data) % 2)
        else:
            at = data.ljust(4, b"\0")
        directory.append(struct.pack("<2HI", tag, kind, count) + at)
    file.write(b"".join([*directory, bytes(4), beside]))
    file.seek(4)
    file.write(struct.pack("<I", place))


def _tiff_entries(encoded: bytes) -> dict[int, tuple[int, int, bytes]]:
    """Return type, count and bytes of each tag in the first directory of a little-endian TIFF."""
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
    place = int.from_bytes(encoded[4:8], "little")
    (count,) = struct.unpack_from("<H", encoded, place)
    entries = {}
    for start in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from("<2HI", encoded, start)
        length = sizes[kind] * number
        at = start + 8 if length <= 4 else int.from_bytes(encoded[start + 8 : start + 12], "little")
        entries[tag] = kind, number, encoded[at : at + length]
    return entries
