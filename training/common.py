"""What the training commands share: pictures, EMA, checkpoints, the log.

A run is ``training/runs/NAME/`` (not in git): ``checkpoint.pt`` to resume from, ``log.jsonl``.
The length of a run is wall-clock minutes, and the learning rate falls to zero over them; a run
that was broken off goes on from its checkpoint with the minutes it has left.
"""

import argparse
import copy
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "workflow" / "scripts")]

from bigart.checkpoints import save_network  # noqa: E402
from bigart.files import atomic  # noqa: E402
from painter import Scene, paint, sample_scene  # noqa: E402

Network = TypeVar("Network", bound=nn.Module)

RUNS = HERE / "runs"
FIGURES = HERE / "figures"
SCHEDULE = "AdamW (0.9, 0.99), decay 0.01; 100 steps of warm-up, rate * (1 - progress^2)^1.5"
#: Pictures with an index from here on are for the figures, never for training.
HELD_OUT = 1_000_000


def scene_at(index: int) -> Scene:
    """Return the scene of picture ``index``, always the same."""
    return sample_scene(np.random.default_rng((7, index)))


def picture_at(index: int, size: int) -> NDArray[np.uint8]:
    """Return picture ``index``, (size, size, 3)."""
    return paint(scene_at(index), size, index)


class Pool:
    """Pictures on disk, (count, size, size, 3) uint8, that a background process fills.

    Args:
        size: Side in pixels.
        count: How many pictures in the end.
        first: How many must be there before training starts.
    """

    def __init__(self, size: int, count: int, first: int) -> None:
        folder = RUNS / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        self.size, self.count = size, count
        shape = (count, size, size, 3)
        path = folder / f"{size}-{count}.u8"
        self._progress = folder / f"{size}-{count}.done"
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(int(np.prod(shape)))
        self.pictures = np.memmap(path, np.uint8, "r+", shape=shape)
        if self.ready() < count:
            multiprocessing.Process(target=self._fill, daemon=True).start()
            while self.ready() < min(first, count):
                time.sleep(1)

    def ready(self) -> int:
        """Return how many pictures are there."""
        return int(self._progress.read_text()) if self._progress.exists() else 0

    def _fill(self) -> None:
        os.nice(3)
        done = self.ready()
        several = max(1, 2048 // self.size)
        while done < self.count:
            for index in range(done, min(done + several, self.count)):
                self.pictures[index] = picture_at(index, self.size)
            done = min(done + several, self.count)
            with atomic(self._progress) as path:
                path.write_text(str(done))

    def crops(self, rng: np.random.Generator, batch: int, side: int) -> tuple[Tensor, list[int]]:
        """Return random crops, flipped at random, (B, 3, side, side) uint8, and their indices."""
        indices = rng.integers(0, self.ready(), batch).tolist()
        tops, lefts = rng.integers(0, self.size - side + 1, (2, batch))
        crops = []
        for index, top, left in zip(indices, tops, lefts, strict=True):
            crop = self.pictures[index, top : top + side, left : left + side]
            crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2), indices


class Average:
    """Exponential moving average of a network's parameters."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network; fast during the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mine, theirs in zip(self.network.parameters(), network.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)


def command(name: str, minutes: float, rate: float, batch: int) -> argparse.ArgumentParser:
    """Return the options that all training commands have."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--minutes", type=float, default=minutes, help="length of the run")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(f"models/embedded/{name}.safetensors"))
    parser.add_argument("--start", type=Path, help="weights to start from, e.g. the shipped ones")
    parser.add_argument("--run", default=name, help="folder under training/runs")
    parser.add_argument("--pictures", type=int, default=0, help="pictures to train on; 0: as usual")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the options, set threads and seeds."""
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    return arguments


def goes_on(arguments: argparse.Namespace) -> bool:
    """Tell whether the run goes on from weights that were trained before."""
    return arguments.start is not None or (RUNS / arguments.run / "checkpoint.pt").exists()


def parameters(network: nn.Module) -> int:
    """Count parameters."""
    return sum(p.numel() for p in network.parameters())


def autocast(device: str) -> torch.autocast:
    """Return bf16 autocast for a GPU, and nothing for a CPU.

    Measured with avx512_bf16: a training step in float32 takes between a half and three quarters
    of the time, for the backward passes of GroupNorm and of narrow convolutions are slow in bf16.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu")


def on_device(network: Network, device: str) -> Network:
    """Return a network of convolutions on its device, channels last."""
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def compiled(network: nn.Module, device: str) -> nn.Module:
    """Return the network, compiled where that is quick and exact: not on a CPU."""
    return network if torch.device(device).type == "cpu" else torch.compile(network)  # type: ignore[return-value]


def write_figures(name: str, figures: dict[str, Any]) -> None:
    """Write ``training/figures/NAME.json``."""
    with atomic(FIGURES / f"{name}.json") as path:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def train(
    arguments: argparse.Namespace,
    network: nn.Module,
    architecture: str,
    step: Callable[[int, float], tuple[Tensor, dict[str, float]]],
    evaluate: Callable[[nn.Module], dict[str, float]],
    decay: float = 0.998,
    after: Callable[[int], None] | None = None,
    save_every: float = 90.0,
) -> None:
    """Run the training loop to the end of its minutes.

    Args:
        arguments: From ``parse``.
        network: Trained in place.
        architecture: For the weights file.
        step: (step, progress 0-1) -> (loss, figures for the log).
        evaluate: Averaged network -> final figures.
        decay: Of the moving average.
        after: Called after each step, e.g. to revive codes.
        save_every: Seconds between checkpoints; the weights file is written with each.
    """
    folder = RUNS / arguments.run
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    average = Average(network, decay)
    optimizer = torch.optim.AdamW(
        network.parameters(), arguments.rate, (0.9, 0.99), weight_decay=0.01
    )
    number, elapsed = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=arguments.device)
        network.load_state_dict(saved["network"])
        average.network.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        number, elapsed = saved["step"], saved["elapsed"]
        torch.manual_seed(arguments.seed + number)
    elif arguments.start:
        weights = load_file(arguments.start, str(arguments.device))
        for one in (network, average.network):
            one.load_state_dict(weights)

    def save() -> None:
        with atomic(checkpoint) as path:
            torch.save(
                {
                    "network": network.state_dict(), "average": average.network.state_dict(),
                    "optimizer": optimizer.state_dict(), "step": number, "elapsed": elapsed,
                },
                path,
            )  # fmt: skip
        save_network(average.network, arguments.out, architecture)

    print(
        f"{arguments.run}: {parameters(network) / 1e6:.2f} M parameters, from step {number}",
        flush=True,
    )
    length = arguments.minutes * 60
    last_save, last_log, seen = elapsed, elapsed, 0
    sums: dict[str, float] = {}
    log = (folder / "log.jsonl").open("a", encoding="utf-8")
    while elapsed < length:
        start = time.perf_counter()
        progress = elapsed / length
        warm = min(1.0, (number + 1) / 100)
        rate = arguments.rate * warm * (1 - progress**2) ** 1.5
        for group in optimizer.param_groups:
            group["lr"] = max(rate, arguments.rate * 0.01)
        loss, figures = step(number, progress)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if torch.isfinite(norm):
            optimizer.step()
        number += 1
        average.update(network, number)
        if after:
            after(number)
        elapsed += time.perf_counter() - start
        seen += 1
        for key, value in {"loss": float(loss.detach()), "norm": float(norm), **figures}.items():
            sums[key] = sums.get(key, 0.0) + value
        if elapsed - last_log > 20:
            line = {
                "step": number,
                "minutes": round(elapsed / 60, 2),
                "seconds_per_step": round((elapsed - last_log) / seen, 3),
            }
            line |= {key: round(value / seen, 5) for key, value in sums.items()}
            print(json.dumps(line), flush=True)
            log.write(json.dumps(line) + "\n")
            log.flush()
            last_log, sums, seen = elapsed, {}, 0
        if elapsed - last_save > save_every:
            save()
            last_save = elapsed
    save()
    results: dict[str, Any] = {
        "parameters": parameters(network), "steps": number, "batch": arguments.batch,
        "minutes": round(elapsed / 60, 1), "threads": arguments.threads, "device": arguments.device,
        "rate": arguments.rate, "schedule": SCHEDULE, "average": decay, "seed": arguments.seed,
        "bytes": arguments.out.stat().st_size,
        **evaluate(average.network),
    }  # fmt: skip
    write_figures(arguments.run, results)
    print(json.dumps(results), flush=True)


def batches(make: Callable[[], Any], ahead: int = 4) -> Iterator[Any]:
    """Yield what ``make`` returns, prepared by a thread beside the training."""
    import queue
    import threading

    waiting: queue.Queue[Any] = queue.Queue(ahead)

    def work() -> None:
        while True:
            waiting.put(make())

    threading.Thread(target=work, daemon=True).start()
    while True:
        yield waiting.get()
