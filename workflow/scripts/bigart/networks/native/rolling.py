"""RRDBNet on a picture that arrives row by row: enlargements of any height in little memory.

Each layer keeps as many rows as its convolutions still need and hands on those that are complete,
so every pixel is computed from the same numbers as in one piece, once. Nothing is a tile, and there
are no seams. Memory grows with the picture's width alone.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from bigart.networks.native import rrdbnet
from bigart.networks.native.cpu.strips import times
from bigart.networks.native.cpu.winograd import DenseWinograd, use_fast_path
from bigart.networks.native.rrdbnet import (
    DENSE_HALO,
    RESIDUAL,
    SLOPE,
    TAIL_HALO,
    DenseBlock,
    RRDBNet,
)
from bigart.networks.native.unshuffled import UnshuffledRRDBNet
from bigart.networks.network import in_float32, reduced_dtype, with_weights_in

Rows = Iterable[Tensor]

#: Values of one tensor that a layer makes at once: more take less time and more memory. The tail
#: computes its rows of context sixteen times larger.
VALUES, TAIL_VALUES = 2**23, 2**24


def enlarge(network: RRDBNet | UnshuffledRRDBNet, rows: Rows, height: int) -> Iterator[Tensor]:
    """Run a network as its ``enlarge`` does.

    Args:
        network: Of either kind.
        rows: The picture from its top, each (1, 3, any number of rows, W), RGB in [0, 1].
        height: Of the whole picture.

    Yields:
        (1, 3, rows, scale * W), not clipped, from the top.
    """
    if isinstance(network, UnshuffledRRDBNet):
        yield from _unshuffled(network, rows, height)
    else:
        yield from _enlarged(network, rows, height)


def _enlarged(network: RRDBNet, rows: Rows, height: int) -> Iterator[Tensor]:
    layer = partial(in_float32, network.conv_first)
    waiting: deque[Tensor] = deque()  # rows of the picture that the trunk has not answered

    def read() -> Iterator[Tensor]:
        for part in rows:
            waiting.append(part.contiguous(memory_format=torch.channels_last))
            yield waiting[-1]

    def again() -> Iterator[Tensor]:
        while waiting:
            yield waiting.popleft()

    features: Rows = rolled(layer, 1, height, read())
    for rrdb in network.RRDB_trunk:
        features = _rrdb(rrdb, features, height)
    features = rolled(network.trunk_conv, 1, height, features)
    # computed twice, since its features would take more memory than the picture
    first, ready = rolled(layer, 1, height, again()), deque[Tensor]()
    scale = network.options.scale
    summed = _plus(features, lambda count: taken(ready, count, first))
    yield from rolled(network.tail, TAIL_HALO, height, summed, scale, TAIL_VALUES)


def _rrdb(rrdb: nn.Module, rows: Rows, height: int) -> Iterator[Tensor]:
    skipped: deque[Tensor] = deque()

    def read() -> Iterator[Tensor]:
        for part in rows:
            skipped.append(part)
            handed = [part.to(reduced_dtype(part))]
            del part
            yield handed.pop()

    features: Rows = read()
    for block in rrdb.children():
        assert isinstance(block, DenseBlock)
        features = rolled(_dense(block), DENSE_HALO, height, features)
    yield from _plus(features, lambda count: taken(skipped, count), RESIDUAL)


def _plus(rows: Rows, skipped: Callable[[int], Tensor], factor: float = 1) -> Iterator[Tensor]:
    """Yield what was skipped plus ``factor`` times the rows."""
    for part in rows:
        handed = [skipped(part.shape[2]).add_(part, alpha=factor)]
        del part
        yield handed.pop()


def taken(waiting: deque[Tensor], count: int, more: Iterator[Tensor] | None = None) -> Tensor:
    """Take the first rows out of what waits; a copy, so that nothing else stays in memory.

    Args:
        waiting: Rows in their order.
        count: How many are taken.
        more: Where the next ones come from, when too few wait.
    """
    parts = []
    while count:
        part = next(more) if more and not waiting else waiting.popleft()
        if part.shape[2] > count:
            waiting.appendleft(part[:, :, count:].clone())
            part = part[:, :, :count]
        parts.append(part)
        count -= part.shape[2]
    return torch.cat(parts, dim=2)


def _dense(block: DenseBlock) -> Callable[[Tensor], Tensor]:
    """Return what runs a dense block: in ``DenseWinograd`` where ``RRDBNet.enlarge`` does."""
    convolutions = [conv for conv in block.children() if isinstance(conv, nn.Conv2d)]
    channels = convolutions[-1].out_channels

    def run(x: Tensor) -> Tensor:
        if channels < rrdbnet.CHANNELS or not use_fast_path(x, convolutions[0].weight):
            return with_weights_in(block, x.dtype)(x)
        dense = _winograd(x, tuple(conv.out_channels for conv in convolutions[:-1]))
        dense.x.copy_(x)
        dense.run(convolutions)
        return dense.x

    return run


_WINOGRAD: dict[tuple[torch.Size, tuple[int, ...]], DenseWinograd] = {}


def _winograd(x: Tensor, growth: tuple[int, ...]) -> DenseWinograd:
    """Return one for inputs of that shape; that of the shape before is forgotten."""
    key = x.shape, growth
    if key not in _WINOGRAD:
        _WINOGRAD.clear()
        _WINOGRAD[key] = DenseWinograd(x, growth, SLOPE, RESIDUAL)
    return _WINOGRAD[key]


def rolled(
    layer: Callable[[Tensor], Tensor],
    halo: int,
    height: int,
    rows: Rows,
    scale: int = 1,
    values: int | None = None,
) -> Iterator[Tensor]:
    """Yield a layer's result for rows that arrive one after the other.

    Args:
        layer: Maps (1, C, H, W) to (1, D, scale * H, scale * W).
        halo: Rows of context that it reads above and below.
        height: Of the whole picture.
        rows: The picture from its top.
        scale: Of the layer.
        values: How many values of its channels it makes at once, if not ``VALUES``.
    """
    kept: Tensor | None = None
    first = seen = done = 0  # the first row in `kept`, the rows that came, and those that left
    for part in rows:
        step = max(2, (values or VALUES) // (part.shape[1] * part.shape[3] * scale**2))
        pieces = list(part.split(step, dim=2))[::-1]
        # a hundred layers wait for each other: none may hold rows that another one has taken
        del part
        while pieces:
            seen += pieces[-1].shape[2]
            kept = pieces.pop() if kept is None else torch.cat([kept, pieces.pop()], dim=2)
            ready = seen if seen == height else seen - halo
            if ready <= done:
                continue
            rows_done = times(slice(done - first, ready - first), scale)
            handed = [layer(kept)[:, :, rows_done].clone()]
            done, start = ready, max(0, ready - halo)
            kept = kept[:, :, start - first :].clone()
            first = start
            yield handed.pop()


def _unshuffled(network: UnshuffledRRDBNet, rows: Rows, height: int) -> Iterator[Tensor]:
    side, scale, width = network.side, network.options.scale, 0

    def blocks() -> Iterator[Tensor]:
        nonlocal width
        waiting: Tensor | None = None
        seen = 0
        for part in rows:
            waiting = part if waiting is None else torch.cat([waiting, part], dim=2)
            seen, width = seen + part.shape[2], part.shape[3]
            # what is mirrored at the lower edge must still be there
            count = waiting.shape[2]
            if seen < height:
                count = (count - side) // side * side
            if count > 0:
                yield network._unshuffled(waiting[:, :, :count])
                waiting = waiting[:, :, count:]

    left = height * scale
    for made in _enlarged(network._inner[0], blocks(), -(-height // side)):
        yield made[:, :, :left, : width * scale]
        left -= made.shape[2]
