"""What a GPU does with the networks and the workflow, in four minutes of it.

    python benchmarks/gpu.py --glide DIR --bsrgan DIR --taming DIR

One part after the other: agreement with the recorded outputs in fp32; the full-size networks next
to the published code in fp16 (checkouts and stand-ins as for networks.py); steps as CUDA graphs;
whole artworks by Snakemake with networks of the published sizes and random weights; reduced
precision. A part that fails is reported, the others go on, and the exit status is 1. No part begins
after `--minutes`. `--device cpu --tiny` tries all of it without a GPU.
"""

import argparse
import csv
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from PIL import Image
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "workflow/scripts"), str(HERE.parent / "tests")]

import artworks
import originals
from networks import WORKS, Work, glide_inputs, picture, random_network
from project import ROOT

import parity
from bigart.networks.native.cpu.group_norm import GroupNorm
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.network import Network
from bigart.networks.options import RRDBNetOptions, VQGANOptions
from bigart.networks.tokenizer import Tokenizer
from bigart.pictures import images
from bigart.running.device import PRECISIONS, Device, peak_memory
from bigart.sampling.graphs import Replayed, cuda_graph
from bigart.sampling.samplers import SAMPLERS, State, guided
from bigart.sampling.schedule import Schedule
from bigart.weights.conversion import save_network
from bigart.weights.table import CLIP_ROLES

GOALS = {"base": 4.0}  # times faster than the original in fp16; 3 for the rest
SECONDS = 10.0  # goal for a whole artwork of 400 steps
SHARE = 80  # goal for the networks' part of the time, in %
FEWEST_SECONDS = 15.0  # left for a part to begin
#: Files of the embedded set, by role -> the work whose network stands in its place.
ROLES = {
    "base": "base", "upsampler": "upsampler", "enlarger": "bsrgan-256", "detailer": "vqgan",
}  # fmt: skip


class NotRunError(Exception):
    """Why a part was left out."""


class Benchmark:
    """The parts, in their order, and what they share.

    Args:
        a: The command line.
    """

    def __init__(self, a: argparse.Namespace) -> None:
        self.a, self.end = a, time.monotonic() + 60 * a.minutes
        self.exact = Device.choose(a.device, "fp32")
        self.device = self.exact.device
        self.on_gpu = self.device.type == "cuda"
        self.half = "fp16" if self.on_gpu else "bf16"
        self.works = {name: tiny(name, work) if a.tiny else work for name, work in WORKS.items()}

    def parts(self) -> dict[str, Callable[[], None]]:
        """Return the parts by name."""
        whole = {
            f"artworks, {steps} steps, {jobs} at once": partial(self.artworks, steps, jobs)
            for steps, jobs in ((15, 1), (400, 1), (15, 2), (15, 3))
        }
        return {
            "machine": self.machine,
            "recorded outputs": self.parity,
            "networks": self.networks,
            "graphs": self.graphs,
            "what could pay": self.variants,
            **whole,
            "reduced precision": self.precision,
        }

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.end - time.monotonic()

    # ---- parts ----------------------------------------------------------------------------------

    def machine(self) -> None:
        """Say what computes."""
        print(f"{self.exact.name}; {os.cpu_count()} cores of {platform.machine()}")
        print(f"torch {torch.__version__}, Python {platform.python_version()}")
        if self.on_gpu:
            free, total = torch.cuda.mem_get_info(self.device)
            print(f"CUDA {torch.version.cuda}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free")

    def parity(self) -> None:
        """Compare with the recorded outputs, in fp32."""
        print("| vector | part | largest difference | allowed |")
        print("|---|---|---|---|")
        far = []
        for family, (compare, small, full) in parity.FAMILIES.items():
            for name in small if self.a.tiny else [*small, *full]:
                for what, ours, recorded in compare(name, str(self.device)):
                    apart = float((ours.cpu().double() - torch.from_numpy(recorded)).abs().max())
                    allowed = 0 if recorded.dtype.kind in "iu" else parity.TOLERANCE
                    print(f"| {family}/{name} | {what} | {apart:.1e} | {allowed:g} |", flush=True)
                    if not apart <= allowed:
                        far.append(f"{family}/{name} {what}")
                self.forget()
        if far:
            raise AssertionError(f"too far from what was recorded: {', '.join(far)}")

    def networks(self) -> None:
        """Time each network on both sides, which take turns; memory is without the weights."""
        half = self.half
        print(f"| work | original fp16 | ours fp32 | bf16 | {half} | replayed | ratio | goal "
              "| original's memory | ours | mean difference / spread |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        for name, work in self.works.items():
            checkout = getattr(self.a, work.checkout)
            sides = self.sides(work, checkout)
            seconds = {side: float("inf") for side in sides}
            memory, made = {}, {}
            for turn in range(1 + self.a.repeats):
                for side, (precision, run) in sides.items():
                    took, used, out = self.timed(precision, run)
                    if turn:  # the first one warms up
                        seconds[side] = min(seconds[side], took)
                        memory[side], made[side] = used, out
            best = min(seconds[side] for side in (half, "replayed") if side in seconds)
            spread = float(made["original"].std())
            apart = float((made[half] - made["original"]).abs().mean()) / spread
            times = (seconds.get(side) for side in ("original", "fp32", "bf16", half, "replayed"))
            shown = " | ".join(f"{1000 * t:.1f} ms" if t else "" for t in times)
            print(
                f"| {work.spoken}{'' if checkout else ' (stand-in)'} | {shown} "
                f"| {seconds['original'] / best:.1f} | {GOALS.get(name, 3.0):g} "
                f"| {memory['original'] / 1e9:.2f} GB | {memory[half] / 1e9:.2f} GB "
                f"| {apart:.1e} |",
                flush=True,
            )
            del sides, made
            self.forget()

    def graphs(self) -> None:
        """Sample with and without graphs: the same picture, sooner; and what cannot be recorded."""
        network = self.random(self.works["base"])
        assert isinstance(network, Text2ImUNet)
        base = network
        _, tokens, mask, count = glide_inputs(network.options)
        side, steps = network.options.image_size, 30

        def noise(draw: int) -> Tensor:
            return picture(side, count, draw).to(self.device)

        def sampled(wrapped: Any) -> Tensor:
            denoiser = guided(wrapped, text, away, 3.0)
            schedule = Schedule.create(base.options.noise_schedule, steps)
            *_, last = SAMPLERS["ancestral"](denoiser, schedule, State(0, noise(0)), noise)
            return last.x

        class Waits:
            """A network whose step reads a number from the GPU, which no graph may."""

            def denoise(self, x: Tensor, timesteps: Tensor, text: Any, low: Any = None) -> Tensor:
                assert float(timesteps[0]) >= 0
                return base.denoise(x, timesteps, text, low)

        with torch.inference_mode(), Device(self.device, self.half).autocast():
            text, away = (
                network.encode_text(tokens[[i]].to(self.device), mask[[i]].to(self.device))
                for i in (0, 1)
            )
            sampled(network)  # warms up
            took, _, plain = self.timed(self.half, lambda: sampled(network))
            print(f"{steps} steps, {count} candidates: {took:.2f} s", flush=True)
            for what, real in (("replayed", network), ("not recordable", Waits())):
                wrapped = Replayed(real, cuda_graph if self.on_gpu else again)
                took, _, out = self.timed(self.half, partial(sampled, wrapped))
                apart = float((out - plain).abs().mean())
                print(f"{what}: {took:.2f} s, mean difference {apart:.1e}", flush=True)
                if not apart < 1e-2:
                    raise AssertionError(f"{what}: the steps paint another picture")

    def variants(self) -> None:
        """Time a replayed step of the base with what the code does not do yet."""
        plain = self.base_step(with_16_bit_weights=False)
        narrow = self.base_step(with_16_bit_weights=True)

        def channels_last(step: Callable[[], Tensor]) -> Tensor:
            norm = normalised_channels_last
            with (
                mock.patch.object(GroupNorm, "forward", norm),
                mock.patch.object(GroupNorm, "modulated", norm),
            ):
                return step()

        variants: dict[str, Callable[[], Tensor]] = {
            "as it is": plain,
            "convolutions' weights in 16 bits": narrow,
            "normalisations that keep the channels last": partial(
                channels_last, self.base_step(with_16_bit_weights=False)
            ),
            "both": partial(channels_last, self.base_step(with_16_bit_weights=True)),
        }
        print("| base step | time | mean difference / spread |\n|---|---|---|")
        first = None
        for what, step in variants.items():
            for _ in range(2):  # one as it is, one recorded
                self.timed(self.half, step)
            runs = [self.timed(self.half, step) for _ in range(self.a.repeats)]
            took, _, out = min(runs, key=lambda run: run[0])
            first = out if first is None else first
            apart = float((out - first).abs().mean() / first.std())
            print(f"| {what} | {1000 * took:.1f} ms | {apart:.1e} |", flush=True)

    def artworks(self, steps: int, jobs: int) -> None:
        """Paint as many artworks as jobs by Snakemake, with networks of the published sizes."""
        if not importlib.util.find_spec("snakemake"):
            raise NotRunError("Snakemake is not installed")
        options = {
            "steps": 4 if self.a.tiny else steps,
            "sampler": "ancestral" if steps == 400 else "dpm++sde",
            "upsample_steps": 4 if self.a.tiny else "fast27",
            "models_table": self.models(),
            "device": self.device.type,
            "precision": self.half,
        }
        config = [f"{key}={value}" for key, value in options.items()]
        with tempfile.TemporaryDirectory() as name:
            folder, cores = Path(name), os.cpu_count() or 1
            seconds = artworks.paint(folder, jobs, jobs, cores, config, timeout=self.left())
            share = 100 * artworks.in_networks(folder) / seconds
            goal = f" (goal {SECONDS:g} s)" if steps == 400 else ""
            print(f"{seconds / jobs:.1f} s an artwork{goal}; "
                  f"in the networks {share:.0f} % of the time (goal {SHARE} %)")  # fmt: skip
            if jobs > 1:
                return
            print("\n| stage | seconds | memory |\n|---|---|---|")
            for file in sorted(folder.glob("results/*/log/*.benchmark.tsv")):
                (row,) = csv.DictReader(file.open(encoding="utf-8"), delimiter="\t")
                stage = file.name.removesuffix(".benchmark.tsv")
                print(f"| {stage} | {row['s']} | {row['max_rss']} MB |")

    def precision(self) -> None:
        """Compare the embedded networks in reduced precision with themselves in fp32."""
        command = [sys.executable, str(HERE / "precision.py"), "--device", self.device.type]
        shown = ROOT / "docs/images/demo.jpg"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "picture.png")
            pixels = images.read_rgb(shown)
            side = 64 if self.a.tiny else min(1024, *(n // 64 * 64 for n in pixels.shape[:2]))
            Image.fromarray(pixels[:side, :side]).save(path)
            precisions = ["fp16", "bf16"] if self.on_gpu else ["bf16"]
            command += ["--picture", str(path), "--precision", *precisions]
            subprocess.run(command, check=True, timeout=self.left())

    # ---- what they are made of ------------------------------------------------------------------

    def sides(
        self, work: Work, checkout: Path | None
    ) -> dict[str, tuple[str, Callable[[], Tensor]]]:
        """Return what does the work once, by side: the original, ours in each precision, replayed.

        With each is the precision that it runs in; the original of a checkout is 16 bits itself.
        """
        network = self.random(work)
        theirs = "fp32" if checkout else self.half
        ours = ("fp32", "bf16", self.half)  # on a CPU the last two are the same
        if isinstance(network, Text2ImUNet):
            x, tokens, mask, count = glide_inputs(network.options)
            x, tokens, mask = (part.to(self.device) for part in (x, tokens, mask))
            is_large = network.options.super_res
            rows = [0] * count if is_large else [0] * count + [1] * count
            low = picture(64, count, 2).clamp(-1, 1).to(self.device) if is_large else None
            x = x if is_large else torch.cat([x, x])
            times = torch.full((len(x),), 500, device=self.device)
            more = {} if low is None else {"low_res": low}
            forward: Any = network
            if checkout:
                state = network.state_dict()
                forward = originals.glide(checkout, network.options, state, torch.float16)
            with torch.inference_mode():
                read = sorted(set(rows))
                text = network.encode_text(tokens[read], mask[read])
                with Device(self.device, self.half).autocast():
                    short = network.encode_text(tokens[read], mask[read])
            replayed = Replayed(network, cuda_graph if self.on_gpu else again)
            return {
                "original": (theirs, lambda: forward(x, times, tokens[rows], mask[rows], **more)),
                "fp32": ("fp32", lambda: network.denoise(x, times, text, low)),
                "bf16": ("bf16", lambda: network.denoise(x, times, text, low)),
                self.half: (self.half, lambda: network.denoise(x, times, short, low)),
                "replayed": (self.half, lambda: replayed.denoise(x, times, short, low)),
            }
        x = picture(work.side, 1, 3).clamp(-1, 1).to(self.device)
        whole: Callable[[Tensor], Tensor] = network
        forward = network
        if isinstance(network, RRDBNet):
            x, whole = (x + 1) / 2, network.enlarge
        if checkout:
            state, kept = network.state_dict(), work.options
            forward = (
                originals.rrdbnet(checkout, state, torch.float16, kept)
                if isinstance(network, RRDBNet)
                else originals.vqgan(checkout, kept, state, torch.float16)
            )
        sides = {precision: (precision, partial(whole, x)) for precision in ours}
        return {"original": (theirs, partial(forward, x)), **sides}

    def random(self, work: Work) -> Network:
        """Return a network with random weights, made on the device."""
        with self.device:
            return random_network(work)

    def base_step(self, with_16_bit_weights: bool) -> Callable[[], Tensor]:
        """Return a guided step of the base, replayed."""
        network = self.random(self.works["base"])
        assert isinstance(network, Text2ImUNet)
        x, tokens, mask, _ = glide_inputs(network.options)
        x = torch.cat([x, x]).to(self.device)
        times = torch.full((len(x),), 500, device=self.device)
        with torch.inference_mode(), Device(self.device, self.half).autocast():
            text = network.encode_text(tokens.to(self.device), mask.to(self.device))
        if with_16_bit_weights:
            for block in (network.input_blocks, network.middle_block, network.output_blocks):
                for layer in block.modules():
                    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
                        layer.to(PRECISIONS[self.half])
        replayed = Replayed(network, cuda_graph if self.on_gpu else again)
        return lambda: replayed.denoise(x, times, text)

    def timed(self, precision: str, run: Callable[[], Tensor]) -> tuple[float, int, Tensor]:
        """Return the seconds of one run, the memory that it took, and what came out."""
        before = 0
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
        start = time.perf_counter()
        with torch.inference_mode(), Device(self.device, precision).autocast():
            out = run().float()
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - start, peak_memory(self.device) - before, out.cpu()

    def forget(self) -> None:
        """Free what a part took on the GPU."""
        self.exact.finish()

    def models(self) -> Path:
        """Return a table of models with random weights; it and they are made once."""
        folder = self.a.folder
        path = folder / "models.yaml"
        if path.exists():
            return path
        table = yaml.safe_load((ROOT / "config/models.yaml").read_text(encoding="utf-8"))
        roles = table["sets"]["embedded"]
        table["sets"] = {"embedded": {k: v for k, v in roles.items() if k not in CLIP_ROLES}}
        table["files"] = {
            name: {**entry, "path": str(ROOT / entry["path"])}
            for name, entry in table["files"].items()
            if name in table["sets"]["embedded"].values()
        }
        vocabulary = table["files"]["embedded-vocabulary"]["path"]
        merges = table["files"]["embedded-merges"]["path"]
        tokens = len(Tokenizer.from_files(vocabulary, merges).encoder)
        for role, name in ROLES.items():
            work = self.works[name]
            if work.kind is Text2ImUNet:
                work = replace(work, options=replace(work.options, vocab=tokens))
            weights = folder / f"{role}.safetensors"
            save_network(self.random(work), weights, work.kind.architecture)
            entry = table["files"][f"embedded-{role}"]
            kept = {key: entry[key] for key in ("architecture", "ready") if key in entry}
            table["files"][f"embedded-{role}"] = {**kept, "path": str(weights)}
        path.write_text(yaml.safe_dump(table), encoding="utf-8")
        return path


def normalised_channels_last(
    norm: GroupNorm, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
) -> Tensor:
    """Compute ``GroupNorm``; torch's own rearranges the picture on a GPU, and converts to fp32."""
    batch, channels = x.shape[:2]
    grouped = x.permute(0, 2, 3, 1).reshape(batch, -1, norm.num_groups, channels // norm.num_groups)
    variance, mean = torch.var_mean(grouped.float(), dim=(1, 3), correction=0)
    weight, bias = (part.view(1, norm.num_groups, -1) for part in (norm.weight, norm.bias))
    by = weight * (variance + norm.eps).rsqrt()[..., None]
    plus = bias - mean[..., None] * by
    by, plus = by.view(batch, channels, 1, 1), plus.view(batch, channels, 1, 1)
    if scale is not None and shift is not None:
        by, plus = by * (1 + scale), plus * (1 + scale) + shift
    return torch.addcmul(plus.to(x.dtype), x, by.to(x.dtype))


def again(run: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
    """Stand in for a graph where there is no GPU: run again, into the same memory."""
    out = run()
    return lambda: out.copy_(run()), out


def tiny(name: str, work: Work) -> Work:
    """Return the same work for a network that computes next to nothing."""
    small: dict[type[Network], Any] = {
        RRDBNet: RRDBNetOptions(features=8, blocks=1, growth=4),
        VQGAN: VQGANOptions(
            channels=8, channel_mult=(1, 2), res_blocks=1, attention_resolutions=(),
            resolution=64, z_channels=8, embed_dim=8, codes=16, groups=4,
        ),
        Text2ImUNet: replace(
            work.options, image_size=64 if name == "upsampler" else 16, channels=8, res_blocks=1,
            channel_mult=(1, 2), head_channels=8, attention_resolutions=(8,), text_ctx=16,
            text_width=16, text_layers=1, text_heads=2, vocab=1024, groups=4,
        ) if work.kind is Text2ImUNet else None,
    }  # fmt: skip
    return replace(work, options=small[work.kind], side=min(64, work.side // 16))


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("glide", "bsrgan", "taming"):
        parser.add_argument(f"--{name}", type=Path, help="checkout of the original")
    parser.add_argument("--minutes", type=float, default=4, help="after which no part begins")
    parser.add_argument("--repeats", type=int, default=3, help="of which the quickest counts")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small networks: a trial of the code")
    a = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        a.folder = Path(folder)
        benchmark = Benchmark(a)
        for name, part in benchmark.parts().items():
            print(f"\n## {name}\n", flush=True)
            start = time.monotonic()
            try:
                if benchmark.left() < FEWEST_SECONDS:
                    raise NotRunError("no time is left")
                part()
            except NotRunError as reason:
                failed += 1
                print(f"NOT RUN: {reason}")
            except (Exception, SystemExit):
                failed += 1
                print(f"FAILED: {traceback.format_exc()}")
            benchmark.forget()
            print(f"({time.monotonic() - start:.1f} s)", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
