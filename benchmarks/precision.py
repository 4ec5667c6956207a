"""What a reduced precision changes in a picture: each network against itself in fp32.

    python benchmarks/precision.py --picture results/sunset-lake/4-textured-1024.png

The enlarger and the detailer make the whole picture twice; the figures are in steps of an 8-bit
picture. Base and upsampler are asked once for the noise in a noisy picture, since a sampler turns a
small difference into another picture as good; their figures are relative to the noise.
"""

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from bigart.networks.native import rrdbnet, vqgan
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.network import Network
from bigart.pictures import images
from bigart.running.device import Device
from bigart.weights.conversion import open_network

NOISY_TIME = 500


def made_by(network: Network, picture: Tensor, device: Device) -> tuple[Tensor, float]:
    """Return what a network makes of RGB (1, 3, n, n) in [0, 1], and what is one step of 8 bits."""
    with device.autocast():
        if isinstance(network, rrdbnet.RRDBNet):
            return network.enlarge(picture), 1 / 255
        if isinstance(network, vqgan.VQGAN):
            return network(picture * 2 - 1), 2 / 255
        assert isinstance(network, Text2ImUNet)
        options = network.options
        x = F.interpolate(picture, options.image_size, mode="area") * 2 - 1
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x.device)
        low = {"low_res": F.interpolate(x, 64, mode="area")} if options.super_res else {}
        tokens = torch.full((1, options.text_ctx), options.vocab - 1, device=x.device)
        text = network.encode_text(tokens, torch.zeros_like(tokens, dtype=torch.bool))
        times = torch.full((1,), NOISY_TIME, device=x.device)
        return network.denoise((x + noise) / 2**0.5, times, text, **low)[:, :3], 1.0


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", required=True, help="square, as large as the detailer's")
    parser.add_argument("--weights", type=Path, default=ROOT / "models/embedded")
    parser.add_argument("--precision", nargs="+", default=["bf16"], help="bf16, and fp16 on a GPU")
    parser.add_argument("--device", default="auto")
    a = parser.parse_args()
    exact = Device.choose(a.device, "fp32")
    whole = torch.from_numpy(images.to_float(images.read_rgb(a.picture)))[None].to(exact.device)
    print("| network | precision | mean | 99.9th percentile | largest |")
    print("|---|---|---|---|---|")
    for name in ("base", "upsampler", "enlarger", "detailer"):
        network, _ = open_network(a.weights / f"{name}.safetensors", exact.device, torch.float32)
        assert isinstance(network, Network)
        size = 256 if name == "enlarger" else whole.shape[2]
        picture = F.interpolate(whole, size, mode="area")
        reference, step = made_by(network, picture, exact)
        for precision in a.precision:
            reduced = Device(exact.device, precision)
            apart = (made_by(network, picture, reduced)[0].float() - reference).abs() / step
            apart = apart.flatten().cpu()
            high = float(apart.kthvalue(int(0.999 * len(apart)))[0])
            unit = "/255" if step < 1 else " of the noise"
            print(
                f"| {name} | {precision} | {apart.mean():.2g}{unit} | {high:.2g} "
                f"| {apart.max():.2g} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
