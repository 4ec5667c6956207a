"""Which part of a picture a print takes, and how often it is enlarged for that. No numpy."""

from collections.abc import Collection

from bigart.errors import UserError

Box = tuple[int, int, int, int]


def box(source: tuple[int, int], target: tuple[int, int], centre: tuple[float, float]) -> Box:
    """Return the largest part of a picture that has the shape of a print.

    Args:
        source: Width and height of the picture in pixels.
        target: Width and height of the print.
        centre: Of the part, as shares of width and height of the picture. Where nothing is cut
            off, it does not matter.

    Returns:
        Left, upper, right and lower edge, in whole pixels.

    Raises:
        UserError: With that centre the part would lie outside of the picture.
    """
    scale = min(have / wanted for have, wanted in zip(source, target, strict=True))
    edges = []
    for have, wanted, place, side in zip(source, target, centre, ("width", "height"), strict=True):
        length = max(1, min(have, round(wanted * scale)))
        start = round(place * have - length / 2) if length < have else 0
        # a pixel is what rounding may make of it
        if not -1 <= start <= have - length + 1:
            raise UserError(
                f"the crop lies outside of the picture: it takes {100 * length / have:.4g}% of the "
                f"{side}, and its centre is at {100 * place:.4g}%"
            )
        start = min(max(start, 0), have - length)
        edges.append((start, start + length))
    (left, right), (upper, lower) = edges
    return left, upper, right, lower


def factors(
    source: tuple[int, int], target: tuple[int, int], scales: Collection[int]
) -> tuple[int, ...]:
    """Return by how much a picture is enlarged, one time after the other, for a print.

    Afterwards the part that the print takes has at least its pixels.

    Args:
        source: Width and height of the picture.
        target: Width and height of the print.
        scales: By how much there is a network to enlarge; the least that is enough is taken.
    """
    needed = max(wanted / have for have, wanted in zip(source, target, strict=True))
    found: list[int] = []
    while needed > 1:
        found.append(min((scale for scale in scales if scale >= needed), default=max(scales)))
        needed /= found[-1]
    return tuple(found)
