"""Writes networks in the form of ncnn, as its exporters do."""

import struct
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.srvggnet import SRVGGNet

SLOPE = "9=2 -23310=1,2.000000e-01"
RESIDUAL = "0=1 -23301=2,2.000000e-01,1.000000e+00"


class Writer:
    """A ``.param`` and a ``.bin`` that grow layer by layer; each returns the name of its result."""

    def __init__(self, half: bool = False) -> None:
        self.half = half
        self.lines = ["Input input 0 1 data"]
        self.data = b""

    def layer(self, kind: str, *inputs: str, settings: str = "", result: str = "") -> str:
        result = result or f"blob{len(self.lines)}"
        counts = f"{len(inputs)} 1 {' '.join(inputs)} {result}"
        self.lines.append(f"{kind} layer{len(self.lines)} {counts} {settings}".strip())
        return result

    def conv(self, layer: nn.Module, x: str, settings: str = "", result: str = "") -> str:
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        weight = _bytes(layer.weight, "<f2" if self.half else "<f4")
        flag = 0x01306B47 if self.half else 0
        self.data += struct.pack("<I", flag) + weight + bytes(-len(weight) % 4)
        self.data += _bytes(layer.bias, "<f4")
        sizes = f"0={layer.out_channels} 1=3 4=1 5=1 6={layer.weight.numel()}"
        return self.layer("Convolution", x, settings=f"{sizes} {settings}".strip(), result=result)

    def write(self, path: Path) -> Path:
        text = f"7767517\n{len(self.lines)} {len(self.lines)}\n" + "\n".join(self.lines) + "\n"
        path.write_text(text)
        path.with_suffix(".bin").write_bytes(self.data)
        return path


def _bytes(values: Tensor, dtype: str) -> bytes:
    return values.detach().numpy().astype(np.dtype(dtype)).tobytes()


def rrdbnet(network: RRDBNet, half: bool = False) -> Writer:
    """Return an RRDBNet, with its activations joined to the convolutions."""
    writer = Writer(half)
    first = h = writer.conv(network.conv_first, "data")
    for rrdb in network.RRDB_trunk:
        inner = h
        for dense in rrdb.children():
            *convolutions, last = dense.children()
            seen = [inner]
            for conv in convolutions:
                x = writer.layer("Concat", *seen) if seen[1:] else inner
                seen.append(writer.conv(conv, x, SLOPE))
            made = writer.conv(last, writer.layer("Concat", *seen))
            inner = writer.layer("Eltwise", made, inner, settings=RESIDUAL)
        h = writer.layer("Eltwise", inner, h, settings=RESIDUAL)
    h = writer.layer("BinaryOp", first, writer.conv(network.trunk_conv, h))
    for conv in [network.upconv1, *([network.upconv2] if network.options.scale == 4 else [])]:
        h = writer.layer("Interp", h, settings="0=1 1=2.000000e+00 2=2.000000e+00")
        h = writer.conv(conv, h, SLOPE)
    h = writer.conv(network.HRconv, h, SLOPE)
    writer.conv(network.conv_last, h, result="output")
    return writer


def srvggnet(network: SRVGGNet, half: bool = False) -> Writer:
    """Return an SRVGGNetCompact."""
    writer, h, scale = Writer(half), "data", network.options.scale
    for layer in network.body:
        if isinstance(layer, nn.PReLU):
            h = writer.layer("PReLU", h, settings=f"0={layer.weight.numel()}")
            writer.data += _bytes(layer.weight, "<f4")
        else:
            h = writer.conv(layer, h)
    h = writer.layer("PixelShuffle", h, settings=f"0={scale}")
    enlarged = writer.layer("Interp", "data", settings=f"0=1 1={scale}.0 2={scale}.0")
    writer.layer("BinaryOp", h, enlarged, result="output")
    return writer
