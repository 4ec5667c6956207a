"""What the 8-bit files between the stages change in the final picture.

    python benchmarks/rounding.py

Each artwork of the table is finished from its chosen candidate several times in memory, with the
same noise: with nothing rounded between the stages, with every stage's picture rounded to 8 bits a
channel as in its file, and with one of them rounded alone. The final pictures are compared as they
would be written. Values are clipped to [0, 1] between stages either way.
"""

import argparse
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from bigart.commands.sampling_command import prompt_reader
from bigart.config import project
from bigart.config.options import AUTO, Artwork, interval
from bigart.config.plain_text import plain
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.pictures import images
from bigart.pictures.images import Picture
from bigart.pictures.texture import grain
from bigart.running.device import Device
from bigart.sampling.noise import standard_normal
from bigart.sampling.samplers import conditioned, guided
from bigart.verify.work import sampled
from bigart.weights.network_file import open_network
from bigart.weights.table import ModelFile

STAGES = (
    "thumbnails", "upsampled", "enlarged-1024", "textured-1024", "detailed", "enlarged-4096",
)  # fmt: skip
KINDS = {"base": Text2ImUNet, "upsampler": Text2ImUNet, "enlarger": RRDBNet, "detailer": VQGAN}


def number(artwork: Artwork) -> int:
    """Return the candidate that is finished; the first where CLIP is to choose."""
    return 1 if artwork.choose == AUTO else int(artwork.choose)


class Painter:
    """Finishes artworks without files.

    Args:
        models: The model file of each role.
        device: Where the networks run.
    """

    def __init__(self, models: Mapping[str, ModelFile], device: Device) -> None:
        self.device = device
        self.networks: dict[str, Any] = {
            role: open_network(
                models[role].final_path(ROOT / "weights"), kind, device.device, torch.float32
            )[0]
            for role, kind in KINDS.items()
        }
        self.readers = {}
        for role in ("base", "upsampler"):
            arguments = argparse.Namespace(
                model=role,
                vocabulary=models["vocabulary"].final_path(ROOT / "weights"),
                merges=models["merges"].final_path(ROOT / "weights"),
            )
            self.readers[role] = prompt_reader(arguments, self.networks[role], device)

    def noise(self, artwork: Artwork, stage: str, draw: int, side: int) -> Tensor:
        """Return the noise that the stage has for the chosen candidate, (1, 3, side, side)."""
        noise = standard_normal(artwork.seed, stage, number(artwork), draw, (3, side, side))
        return torch.from_numpy(noise)[None].to(self.device.device)

    def thumbnail(self, artwork: Artwork) -> Tensor:
        """Return the chosen thumbnail in [0, 1]."""
        network, reader = self.networks["base"], self.readers["base"]
        denoiser = guided(
            network,
            reader.read(plain(artwork.prompt)),
            reader.read(plain(artwork.negative_prompt)),
            artwork.guidance,
            interval(artwork.guidance_interval),
        )
        side = network.options.image_size
        return sampled(
            network,
            denoiser,
            artwork.sampler,
            artwork.steps,
            lambda draw: self.noise(artwork, "thumbnails", draw, side),
        )

    def finish(self, artwork: Artwork, x: Tensor, rounded: Collection[str]) -> Picture:
        """Return the final picture of a thumbnail; these stages' pictures are rounded to 8 bits."""

        def kept(stage: str, x: Tensor) -> Tensor:
            x = x.clamp(0, 1)
            if stage not in rounded:
                return x
            picture = images.to_uint8(x[0].cpu().numpy())
            return torch.from_numpy(images.to_float(picture))[None].to(x.device)

        low_res = kept("thumbnails", x) * 2 - 1
        network = self.networks["upsampler"]
        side = network.options.image_size
        text = self.readers["upsampler"].read(plain(artwork.prompt))

        def draw(k: int) -> Tensor:
            return self.noise(artwork, "upsampled", k, side) * artwork.upsample_temp

        denoiser = conditioned(network, text, low_res)
        x = sampled(network, denoiser, "ddim", artwork.upsample_steps, draw)
        enlarger, detailer = self.networks["enlarger"], self.networks["detailer"]
        x = kept("enlarged-1024", enlarger.enlarge(kept("upsampled", x)))
        amount, size = artwork.texture_amount, artwork.texture_size
        x = kept("textured-1024", self.textured(artwork, "textured-1024", x, amount, size, False))
        if artwork.detail:
            x = kept("detailed", (detailer(x * 2 - 1) + 1) / 2)
        x = kept("enlarged-4096", enlarger.enlarge(x))
        amount, size = artwork.final_texture_amount, artwork.final_texture_size
        x = self.textured(artwork, "textured-4096", x, amount, size, True)
        return images.to_uint8(x[0].cpu().numpy())

    def textured(
        self, artwork: Artwork, stage: str, x: Tensor, amount: float, size: int, colour: bool
    ) -> Tensor:
        """Add a stage's grain to RGB (1, 3, n, n) in [0, 1]."""
        planes = []
        for channel, values in enumerate(x[0].cpu().numpy()):
            draw = channel if colour else 0
            noise = standard_normal(artwork.seed, stage, number(artwork), draw, values.shape)
            planes.append((values + grain(noise, amount, size)).clip(0, 1))
        return torch.from_numpy(np.stack(planes))[None].to(x.device)


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=ROOT / "config/config.yaml", help="of what to paint")
    parser.add_argument("--artworks", nargs="*", help="which (default: all of the table)")
    parser.add_argument("--each", action="store_true", help="also round each stage alone")
    parser.add_argument("--device", default="auto")
    a = parser.parse_args()
    settings = yaml.safe_load(Path(a.config).read_text(encoding="utf-8"))
    _, artworks, models = project.load(settings, [a.config], ROOT / "config/models.yaml", ROOT)
    painter = Painter(models, Device.choose(a.device, "fp32"))
    print("| artwork | rounded | mean of 255 | 99.9th percentile | largest | PSNR, dB |")
    print("|---|---|---|---|---|---|")
    for name in a.artworks or artworks:
        thumbnail = painter.thumbnail(artworks[name])
        exact = painter.finish(artworks[name], thumbnail, ()).astype(np.int16)
        cases = {"all": STAGES} | ({stage: [stage] for stage in STAGES} if a.each else {})
        for case, rounded in cases.items():
            made = painter.finish(artworks[name], thumbnail, rounded)
            apart = np.abs(made - exact)
            high = np.percentile(apart, 99.9)
            psnr = 10 * np.log10(255**2 / max(1e-12, np.square(apart.astype(np.float64)).mean()))
            print(
                f"| {name} | {case} | {apart.mean():.3f} | {high:.0f} | {apart.max()} "
                f"| {psnr:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
