"""Time and memory of the full-size networks next to the published code, on this machine.

    python benchmarks/networks.py --glide DIR --bsrgan DIR --taming DIR

DIR are checkouts of github.com/openai/glide-text2im, cszn/BSRGAN and CompVis/taming-transformers
(they need attrs, ftfy, regex, filelock and einops). For one that is not given, this project's own
networks in their plain mode stand in: text read at each step, whole frames, plain convolutions. The
weights are random, the same for both, and so are the inputs. Every measurement is a process of its
own, the two sides in turns, after a run that warms up and is said under "first run"; the memory is
its peak, with Python, torch and the weights.

    python benchmarks/networks.py --peers REALESRGAN_X4PLUS_UP4X.param

compares RealESRGAN_x4plus, 256 -> 1024, here with that in ncnn and in OpenVINO (see peers.py).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "workflow" / "scripts")]

import originals
import peers

from bigart.networks.native import rrdbnet, vqgan
from bigart.networks.native.cpu import winograd
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.network import Network
from bigart.networks.options import BASE, UPSAMPLER, GlideOptions
from bigart.running.allocator import keep_freed_memory
from bigart.running.device import PRECISIONS, Device, peak_memory
from bigart.weights.conversion import save_network
from bigart.weights.network_file import open_network

CANDIDATES = 7
PROGRAMS = ("ours fp32", "ours bf16", "ncnn", "openvino f32", "openvino bf16")
PEERS_SIDE, PEERS_REPEATS = 256, 3
OF_UPSAMPLER = 2  # pictures at once, what `batch: auto` comes to on a CPU


@dataclass(frozen=True)
class Work:
    """One row of the table.

    Attributes:
        spoken: What it is.
        checkout: Which checkout has the original.
        kind: The network's class.
        options: Its sizes.
        side: Of the picture that goes in.
        target: Times faster that we want to be.
        repeats: Timed runs, of which the quickest counts.
    """

    spoken: str
    checkout: str
    kind: type[Network]
    options: Any
    side: int
    target: float
    repeats: int


WORKS = {
    "base": Work(
        "GLIDE base, one guided step, 7 candidates",
        "glide", Text2ImUNet, BASE, 64, 2.5, 3,
    ),
    "upsampler": Work(
        "GLIDE upsampler, one step, 7 images",
        "glide", Text2ImUNet, UPSAMPLER, 256, 2.5, 1,
    ),
    "bsrgan-256": Work(
        "BSRGAN 256 -> 1024",
        "bsrgan", rrdbnet.RRDBNet, rrdbnet.RRDBNetOptions(), 256, 3.0, 1,
    ),
    "bsrgan-1024": Work(
        "BSRGAN 1024 -> 4096",
        "bsrgan", rrdbnet.RRDBNet, rrdbnet.RRDBNetOptions(), 1024, 3.0, 1,
    ),
    "vqgan": Work(
        "VQGAN round trip at 1024",
        "taming", vqgan.VQGAN, vqgan.VQGANOptions(), 1024, 2.5, 1,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """What a measurement found: seconds of one run, and of what comes before; peak bytes.

    Attributes:
        seconds: Of one run.
        loading: Of opening the network (OpenVINO: with compiling it).
        warming: How much longer the first run took, which is not counted.
        peak: Bytes.
    """

    seconds: float
    loading: float
    warming: float
    peak: int


# ---- one measurement, in a process of its own ---------------------------------------------------


def random_network(work: Work) -> Network:
    """Return a network with torch's first weights, which are as good as any for time and memory."""
    torch.manual_seed(0)
    network = work.kind(work.options)
    return network.eval().requires_grad_(False)


def picture(side: int, batch: int, seed: int) -> Tensor:
    """Return noise, (batch, 3, side, side)."""
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def glide_inputs(options: GlideOptions) -> tuple[Tensor, Tensor, Tensor, int]:
    """Return pictures, tokens and mask of prompt and of no prompt, and pictures per prompt."""
    tokens = torch.full((2, options.text_ctx), options.vocab - 1)
    tokens[0, :12] = torch.arange(1000, 1012)
    mask = torch.zeros(2, options.text_ctx, dtype=torch.bool)
    mask[0, :12] = True
    return picture(options.image_size, CANDIDATES, 1), tokens, mask, CANDIDATES


def run_of(work: Work, side: str, weights: Path, checkout: Path | None, precision: str) -> Any:
    """Return what does the work once, for the original or for ours."""
    network = open_network(weights, work.kind, dtype=torch.float32)[0]
    # ours lets parts of it go
    state = network.state_dict() if side == "original" else {}

    if side == "ours" and precision != "fp32":
        network.reduce(PRECISIONS[precision])
    if isinstance(network, Text2ImUNet):
        options = network.options
        x, tokens, mask, count = glide_inputs(options)
        rows = [0] * count if options.super_res else [0] * count + [1] * count
        low = {"low_res": picture(64, count, 2).clamp(-1, 1)} if options.super_res else {}
        x = x if options.super_res else torch.cat([x, x])
        times = torch.full((len(x),), 500)
        if side == "original":
            forward = originals.glide(checkout, options, state) if checkout else network
            return lambda: forward(x, times, tokens[rows], mask[rows], **low)
        read = sorted(set(rows))
        with torch.inference_mode(), Device.choose("cpu", precision).autocast():
            text = network.encode_text(tokens[read], mask[read])
        if not options.super_res:
            return lambda: network.denoise(x, times, text)

        def in_batches() -> Tensor:
            """Do as the stage does, with as many pictures at once as ``batch: auto`` takes."""
            pairs = zip(x.split(OF_UPSAMPLER), low["low_res"].split(OF_UPSAMPLER), strict=True)
            return torch.cat(
                [network.denoise(part, times[: len(part)], text, small) for part, small in pairs]
            )

        return in_batches

    x = picture(work.side, 1, 3).clamp(-1, 1)
    if isinstance(network, rrdbnet.RRDBNet):
        x = (x + 1) / 2
        if side == "original":
            forward = originals.rrdbnet(checkout, state) if checkout else network
            return lambda: forward(x)
        return lambda: network.enlarge(x)
    if side == "original":
        forward = originals.vqgan(checkout, work.options, state) if checkout else network
        return lambda: forward(x)
    assert isinstance(network, vqgan.VQGAN)
    return lambda: network(x)  # the stage lets the encoder go, 0.1 GB


def measure(work: Work, side: str, a: argparse.Namespace) -> Figures:
    """Run the work, write what came out beside the weights, and return time and memory."""
    torch.set_num_threads(a.threads)
    if side == "ours":
        keep_freed_memory(work.kind.heap_threshold)
    checkout = getattr(a, work.checkout)
    if side == "original" and not checkout:
        winograd.FAST_PATH, vqgan.STRIP_BYTES = False, 10**12
    start = time.perf_counter()
    run = run_of(work, side, a.weights, checkout, a.precision)
    loading = time.perf_counter() - start
    precision = "fp32" if side == "original" else a.precision
    seconds = []
    with torch.inference_mode(), Device.choose("cpu", precision).autocast():
        for _ in range(1 + work.repeats):
            start = time.perf_counter()
            out = run()
            seconds.append(time.perf_counter() - start)
    peak = peak_memory(torch.device("cpu"))
    np.save(a.weights.with_suffix(f".{side}.npy"), out.float().numpy())
    first, *timed = seconds
    return Figures(min(timed), loading, max(0.0, first - min(timed)), peak)


# ---- RealESRGAN_x4plus in other programs --------------------------------------------------------


def measure_peer(program: str, a: argparse.Namespace) -> Figures:
    """Enlarge a picture in one program, write it into the folder ``--weights``; figures of that."""
    torch.set_num_threads(a.threads)
    keep_freed_memory(rrdbnet.RRDBNet.heap_threshold)
    name, _, precision = program.partition(" ")
    x = F.interpolate(picture(32, 1, 3), PEERS_SIDE, mode="bicubic").mul(0.2).add(0.5).clamp(0, 1)
    start = time.perf_counter()
    if name == "ncnn":
        run = peers.ncnn(a.peers, a.threads)
    elif name == "openvino":
        run = peers.openvino(a.peers, a.threads, PEERS_SIDE, precision)
    else:
        network = peers.x4plus(a.peers)
        if precision != "fp32":
            network.reduce(PRECISIONS[precision])
        assert isinstance(network, rrdbnet.RRDBNet)
        run = network.enlarge
    loading = time.perf_counter() - start
    own = precision if name == "ours" else "fp32"
    seconds = []
    with torch.inference_mode(), Device.choose("cpu", own).autocast():
        for _ in range(1 + PEERS_REPEATS):
            start = time.perf_counter()
            out = run(x)
            seconds.append(time.perf_counter() - start)
    np.save(a.weights / f"{program}.npy", out.float().numpy())
    first, *timed = seconds
    peak = peak_memory(torch.device("cpu"))
    return Figures(min(timed), loading, max(0.0, first - min(timed)), peak)


def compare_peers(a: argparse.Namespace) -> None:
    """Print the table of programs; differences are to ours in fp32, in steps of 8 bits."""
    print("| RealESRGAN_x4plus, 256 -> 1024 | seconds | opening | first run | peak memory "
          "| mean difference | 99.9th percentile |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for program in PROGRAMS:
            command = [sys.executable, __file__, *sys.argv[1:], "--side", program]
            done = subprocess.run(
                [*command, "--weights", folder], check=True, stdout=subprocess.PIPE, text=True
            )
            f = Figures(**json.loads(done.stdout.splitlines()[-1]))
            made, exact = (np.load(Path(folder, f"{name}.npy")) for name in (program, PROGRAMS[0]))
            apart = np.abs(made - exact) * 255
            print(
                f"| {program} | {f.seconds:.2f} | {f.loading:.1f} | +{f.warming:.1f} "
                f"| {f.peak / 1e9:.2f} GB | {apart.mean():.2g} | {np.quantile(apart, 0.999):.2g} |",
                flush=True,
            )


# ---- the table ----------------------------------------------------------------------------------


def compare(name: str, a: argparse.Namespace) -> dict[str, Any]:
    """Measure both sides of one row, each in a process of its own."""
    work = WORKS[name]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "network.safetensors")
        save_network(random_network(work), weights, work.kind.architecture, torch.float32)
        figures = {}
        for side in ("original", "ours"):
            command = [sys.executable, __file__, *sys.argv[1:], "--only", name, "--side", side]
            done = subprocess.run(
                [*command, "--weights", str(weights)], check=True, stdout=subprocess.PIPE, text=True
            )
            figures[side] = Figures(**json.loads(done.stdout.splitlines()[-1]))
        theirs, mine = (np.load(weights.with_suffix(f".{side}.npy"), "r") for side in figures)
        apart = [np.abs(x - y) for x, y in zip(theirs, mine, strict=True)]
        spread = float(np.std(theirs))
    return {
        "work": work.spoken,
        "original": asdict(figures["original"]),
        "ours": asdict(figures["ours"]),
        "stand_in": not getattr(a, work.checkout),
        "ratio": figures["original"].seconds / figures["ours"].seconds,
        "target": work.target,
        "max_difference": max(float(part.max()) for part in apart),
        "mean_difference": float(np.mean([part.mean() for part in apart])),
        "spread": spread,
    }


def row(figures: dict[str, Any]) -> str:
    """Return a line of the table."""
    theirs, mine = figures["original"], figures["ours"]
    return (
        f"| {figures['work']}{' (stand-in)' if figures['stand_in'] else ''} "
        f"| {theirs['seconds']:.1f} s | {mine['seconds']:.1f} s "
        f"| {figures['ratio']:.2f} | {figures['target']:g} "
        f"| {theirs['peak'] / 1e9:.2f} GB | {mine['peak'] / 1e9:.2f} GB | {mine['loading']:.1f} s "
        f"| +{mine['warming']:.1f} s "
        f"| {figures['max_difference']:.1e} "
        f"| {figures['mean_difference'] / figures['spread']:.1e} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("glide", "bsrgan", "taming"):
        parser.add_argument(f"--{name}", type=Path, help="checkout of the original")
    parser.add_argument("--only", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--precision", default="fp32", help="of ours: fp32 or bf16")
    parser.add_argument("--peers", type=Path, metavar="PARAM", help="RealESRGAN_x4plus for ncnn")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    parser.add_argument("--side", choices=("original", "ours", *PROGRAMS), help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.peers and a.side:
        print(json.dumps(asdict(measure_peer(a.side, a))))
        return
    if a.side:
        print(json.dumps(asdict(measure(WORKS[a.only[0]], a.side, a))))
        return
    print(
        f"{platform.machine()}, {a.threads} threads, ours in {a.precision}, "
        f"torch {torch.__version__}, Python {platform.python_version()}\n"
    )
    if a.peers:
        compare_peers(a)
        return
    print("| work | original | ours | ratio | target | original's peak | ours | loading "
          "| first run | largest difference | mean difference / spread |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    rows = {}
    for name in a.only:
        rows[name] = compare(name, a)
        print(row(rows[name]), flush=True)
    if a.out:
        a.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
