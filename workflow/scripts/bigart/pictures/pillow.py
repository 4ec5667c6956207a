"""Opening picture files with Pillow, its many kinds of failure turned into one clear message."""

import contextlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from bigart.errors import UserError

_REDO = "if it is of this workflow, delete it and run again to have it remade"


@contextlib.contextmanager
def opened(path: Path | str) -> Iterator[Image.Image]:
    """Yield the opened (not yet decoded) picture; faults inside the block are the file's.

    Decode inside the block: Pillow finds most damage only then.

    Raises:
        UserError: The file is missing, empty, no picture, truncated or damaged.
        OSError: The disk refuses (permissions, input/output errors).
    """
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise UserError(f"there is no picture {path}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a picture") from None
    except UnidentifiedImageError:
        what = "is empty" if Path(path).stat().st_size == 0 else "is not a picture"
        raise UserError(f"{path} {what}; {_REDO}") from None
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is far too large: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{path} is damaged or cut short ({error}); {_REDO}") from None
