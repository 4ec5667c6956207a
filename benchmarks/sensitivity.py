"""How small a mistake the comparison of the engines finds.

    python benchmarks/sensitivity.py [--scale 1.01] [--models models/embedded] [--only STAGE ...]

Makes every second channel that a layer of a network makes larger, one layer at a time, as if it
were computed a little wrongly (where all are, a normalisation after it undoes that), and compares
what `snakemake verify` compares: single passes, in numbers. Prints how many of the layers are
found, and names the others.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "workflow" / "scripts")]

from bigart.networks.native.glide.model import Text2ImUNet
from bigart.pictures import images
from bigart.sampling.samplers import conditioned, guided
from bigart.stages import NETWORK_STAGES as STAGES
from bigart.verify import compare
from bigart.verify.work import GUIDANCE, WORK, Tensors, passes
from bigart.weights.conversion import open_network

SIDES = {"upsampled": 64, "enlarged-1024": 96, "detailed": 256}


def part_of_a_painting(side: int) -> Tensor:
    """Return a corner of the documentation's picture, (1, 3, side, side) in [0, 1]."""
    picture = images.read_rgb(HERE.parent / "docs/images/demo.jpg")[:side, :side]
    return torch.from_numpy(images.to_float(picture))[None]


def numbers(stage: str, network: Any, inputs: Tensors) -> dict[str, Any]:
    """Return what the passes of a stage compute, as the comparison takes it."""
    if isinstance(network, Text2ImUNet):
        tokens = torch.arange(1, 1 + network.options.text_ctx)[None]
        text = network.encode_text(tokens, tokens < 12)
        if network.options.super_res:
            denoiser = conditioned(network, text, inputs["low_res"])
        else:
            denoiser = guided(network, text, network.encode_text(tokens, tokens < 0), GUIDANCE)
        found = passes(denoiser, inputs)
    else:
        found = WORK[STAGES[stage].architecture].compute(network, inputs, None)
    return {name: x.numpy() for name, x in found.items() if x.is_floating_point()}


@torch.inference_mode()
def missed(stage: str, model: Path, scale: float) -> tuple[list[str], int]:
    """Return the layers of a stage's network that are not found, and how many there are."""
    work = WORK[STAGES[stage].architecture]
    network, _ = open_network(model, dtype=torch.float32)
    inputs = work.inputs(network, part_of_a_painting(SIDES[stage]) if stage in SIDES else None)
    exact = numbers(stage, network, inputs)
    layers = [
        name for name, x in network.named_parameters() if name.endswith("weight") and x.dim() > 1
    ]
    unseen = []
    for name in layers:
        weight = network.get_parameter(name)
        kept = weight.clone()
        weight[::2].mul_(scale)
        found = numbers(stage, network, inputs)
        weight.copy_(kept)
        if all(compare.difference(what, found[what], exact[what]).agrees for what in exact):
            unseen.append(name)
    return unseen, len(layers)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.01, help="of the results (1.01)")
    parser.add_argument("--models", type=Path, default=HERE.parent / "models/embedded")
    parser.add_argument("--only", nargs="+", choices=list(STAGES)[:4], default=list(STAGES)[:4])
    a = parser.parse_args()
    for stage in a.only:
        unseen, count = missed(stage, a.models / f"{STAGES[stage].role}.safetensors", a.scale)
        print(f"{STAGES[stage].role}: {count - len(unseen)} of {count} layers found", flush=True)
        for name in unseen:
            print(f"  not {name}")


if __name__ == "__main__":
    main()
