"""How a picture of one's own becomes as large as its print: which part of it, and how often."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from bigart.pictures import frame, own_picture
from bigart.pictures.frame import Box

#: By how much the filter may enlarge instead of a network.
LITTLE = 1.5

Size = tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """What is done to a picture, one after the other. Sizes are width and height in pixels.

    Attributes:
        box: The part that is read: left, upper, right and lower edge.
        first: The size to which the filter brings that part.
        factors: By how much networks enlarge it then, one time after the other.
        target: The size to which the filter brings the result.
    """

    box: Box
    first: Size
    factors: tuple[int, ...]
    target: Size

    @property
    def scale(self) -> int:
        """By how much the networks enlarge it in all."""
        return math.prod(self.factors)

    @property
    def large(self) -> Size:
        """Its size behind the networks."""
        return self.first[0] * self.scale, self.first[1] * self.scale


def planned(
    source: Size, wanted: Size, centre: tuple[float, float] | None, scales: Collection[int]
) -> Plan:
    """Return how a picture is enlarged, or made smaller, for a print.

    Args:
        source: Size of the picture.
        wanted: Size of the print.
        centre: Of the part that is cut out in the shape of the print, as shares of width and height
            of the picture. None keeps its shape: the longer side is that of ``wanted``, a square.
        scales: By how much there is a network to enlarge.

    Raises:
        UserError: With that centre the part would lie outside of the picture.
    """
    if centre is None:
        box, target = (0, 0, *source), own_picture.fitted(source, wanted)
    else:
        box, target = frame.box(source, wanted, centre), wanted
    part = box[2] - box[0], box[3] - box[1]
    needed = math.ceil(target[0] / LITTLE), math.ceil(target[1] / LITTLE)
    factors = frame.factors(part, needed, scales)
    if not factors:
        return Plan(box, target, factors, target)
    scale = math.prod(factors)
    width, height = (
        max(have, math.ceil(side / scale)) for have, side in zip(part, target, strict=True)
    )
    return Plan(box, (width, height), factors, target)
