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
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "workflow" / "scripts")]

from bigart.running.files import atomic
from bigart.weights.conversion import save_network
from painter import Scene, paint, sample_scene

Network = TypeVar("Network", bound=nn.Module)
Picture = NDArray[np.uint8]


class Stateful(Protocol):
    """What a checkpoint can keep: a module or an optimizer."""

    def state_dict(self) -> dict[str, Any]:
        """Return what is to be kept."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take it back."""


RUNS = HERE / "runs"
FIGURES = HERE / "figures"
SHIPPED = Path("models/embedded")
SCHEDULE = (
    "AdamW (0.9, 0.99), decay 0.01; 100 steps of warm-up, rate * max((1 - progress^2)^1.5, 0.01)"
)
#: Pictures with an index from here on are for the figures, never for training.
HELD_OUT = 1_000_000


def scene_at(index: int) -> Scene:
    """Return the scene of picture ``index``, always the same."""
    return sample_scene(np.random.default_rng((7, index)))


def picture_at(index: int, size: int) -> Picture:
    """Return picture ``index``, (size, size, 3)."""
    return paint(scene_at(index), size, index)


def tensor(picture: Picture) -> Tensor:
    """Return a picture (n, n, 3) as (1, 3, n, n) in [-1, 1]."""
    return torch.tensor(picture).permute(2, 0, 1)[None] / 127.5 - 1


def held_out(count: int, size: int) -> Tensor:
    """Return the first pictures that are kept from training, (count, 3, size, size) in [-1, 1]."""
    return torch.cat([tensor(picture_at(HELD_OUT + i, size)) for i in range(count)])


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Return pictures (B, 3, H, W) after a Gaussian blur of ``sigma`` pixels."""
    reach = int(3 * sigma) + 1
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=pictures.device) / sigma) ** 2)
    taps = (taps / taps.sum()).expand(3, 1, 1, -1)
    padded = F.pad(pictures, (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(padded, taps, groups=3), taps.mT, groups=3)


class Pool:
    """Pictures on disk, (count, size, size, 3) uint8, that a background process fills.

    Args:
        size: Side in pixels.
        count: How many pictures in the end.
        first: How many must be there before training starts.
        make: (index, size) -> picture.
        kind: In the name of the file, for pictures that are not the painter's.
    """

    def __init__(
        self,
        size: int,
        count: int,
        first: int,
        make: Callable[[int, int], Picture] = picture_at,
        kind: str = "",
    ) -> None:
        folder = RUNS / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        self.size, self.count = size, count
        shape = (count, size, size, 3)
        path = folder / f"{kind}{size}-{count}.u8"
        self._progress = path.with_suffix(".done")
        if not path.exists():
            self._progress.unlink(missing_ok=True)
            with path.open("wb") as file:
                file.truncate(int(np.prod(shape)))
        self.pictures = np.memmap(path, np.uint8, "r", shape=shape)
        if self.ready() < count:
            filler = multiprocessing.Process(
                target=_fill, args=(path, shape, make, self.ready()), daemon=True
            )
            filler.start()
            while self.ready() < min(first, count):
                if not filler.is_alive() and self.ready() < min(first, count):
                    raise RuntimeError(f"no pictures for {path}: the program that makes them ended")
                time.sleep(1)

    def ready(self) -> int:
        """Return how many pictures are there."""
        return int(self._progress.read_text()) if self._progress.exists() else 0

    def crops(
        self,
        rng: np.random.Generator,
        batch: int,
        side: int,
        taken: Callable[[int], bool] = lambda index: True,
    ) -> tuple[Tensor, list[int]]:
        """Return random crops, flipped at random, (B, 3, side, side) uint8, and their indices.

        Args:
            rng: Decides which.
            batch: B.
            side: In pixels.
            taken: Says whether a drawn picture is taken, or another one drawn instead.
        """
        ready, indices = self.ready(), list[int]()
        while len(indices) < batch:
            index = int(rng.integers(0, ready))
            indices += [index] * taken(index)
        tops, lefts = rng.integers(0, self.size - side + 1, (2, batch))
        crops = []
        for index, top, left in zip(indices, tops, lefts, strict=True):
            crop = self.pictures[index, top : top + side, left : left + side]
            crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2), indices


def _fill(
    path: Path, shape: tuple[int, int, int, int], make: Callable[[int, int], Picture], done: int
) -> None:
    """Make the pictures of a pool from number ``done`` on; runs in a process of its own."""
    os.nice(3)
    count, size, *_ = shape
    pictures = np.memmap(path, np.uint8, "r+", shape=shape)
    several = max(1, 2048 // size)
    while done < count:
        for index in range(done, min(done + several, count)):
            pictures[index] = make(index, size)
        done = min(done + several, count)
        with atomic(path.with_suffix(".done")) as progress:
            progress.write_text(str(done))


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
    parser.add_argument(
        "--out",
        type=Path,
        help=f"weights to write in the end (default: {SHIPPED / name}.safetensors)",
    )
    parser.add_argument("--start", type=Path, help="weights to start from, e.g. the shipped ones")
    parser.add_argument("--run", default=name, help="folder under training/runs; a trial's own")
    parser.add_argument("--pictures", type=int, default=0, help="pictures to train on; 0: as usual")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the options, set threads and seeds, and find out how far an earlier run came.

    A trial, whose ``--run`` is not the network's name, leaves shipped weights and figures alone.
    """
    arguments = parser.parse_args()
    name, folder = parser.get_default("run"), RUNS / arguments.run
    arguments.checkpoint = folder / "checkpoint.pt"
    arguments.done = 0
    if arguments.checkpoint.exists():
        if arguments.start:
            parser.error(f"{folder} has a run to go on with: remove it, or leave --start out")
        arguments.done = torch.load(arguments.checkpoint, mmap=True, weights_only=True)["step"]
    trial = arguments.run != name
    arguments.figures = (folder if trial else FIGURES) / f"{name}.json"
    arguments.out = arguments.out or (folder if trial else SHIPPED) / f"{name}.safetensors"
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed + arguments.done)
    return arguments


def random_of(arguments: argparse.Namespace, use: int) -> np.random.Generator:
    """Return the random numbers of one use; a run that goes on does not repeat the first ones."""
    return np.random.default_rng((arguments.seed, use, arguments.done))


def goes_on(arguments: argparse.Namespace) -> bool:
    """Tell whether the run goes on from weights that were trained before."""
    return bool(arguments.start or arguments.done)


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


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Write a file of figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def train(
    arguments: argparse.Namespace,
    network: nn.Module,
    architecture: str,
    step: Callable[[int, float], tuple[Tensor, dict[str, float]]],
    evaluate: Callable[[nn.Module], dict[str, float]],
    decay: float = 0.998,
    save_every: float = 90.0,
    beside: Mapping[str, Stateful] | None = None,
) -> None:
    """Run the training loop to the end of its minutes, then write the weights and the figures.

    Args:
        arguments: From ``parse``.
        network: Trained in place.
        architecture: For the weights file.
        step: (step, progress 0-1) -> (loss, figures for the log).
        evaluate: Averaged network -> final figures.
        decay: Of the moving average.
        save_every: Seconds between checkpoints; ``weights.safetensors`` is written beside each.
        beside: What else a checkpoint keeps and gives back, by name.
    """
    checkpoint = arguments.checkpoint
    folder = checkpoint.parent
    folder.mkdir(parents=True, exist_ok=True)
    others = beside or {}
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
        for name, state in saved.get("beside", {}).items():
            others[name].load_state_dict(state)
        number, elapsed = saved["step"], saved["elapsed"]
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
                    "beside": {name: other.state_dict() for name, other in others.items()},
                },
                path,
            )  # fmt: skip
        save_network(average.network, folder / "weights.safetensors", architecture)

    print(
        f"{arguments.run}: {parameters(network) / 1e6:.2f} M parameters, from step {number}",
        flush=True,
    )
    length = arguments.minutes * 60
    last_save, last_log = elapsed, elapsed
    lately: dict[str, list[float]] = {}
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
        elapsed += time.perf_counter() - start
        for key, value in {"loss": float(loss.detach()), "norm": float(norm), **figures}.items():
            lately.setdefault(key, []).append(value)
        if elapsed - last_log > 20:
            line = {
                "step": number,
                "minutes": round(elapsed / 60, 2),
                "seconds_per_step": round((elapsed - last_log) / len(lately["loss"]), 3),
            }
            line |= {key: round(float(np.mean(values)), 5) for key, values in lately.items()}
            print(json.dumps(line), flush=True)
            log.write(json.dumps(line) + "\n")
            log.flush()
            last_log, lately = elapsed, {}
        if elapsed - last_save > save_every:
            save()
            last_save = elapsed
    save()
    save_network(average.network, arguments.out, architecture)
    average.network.load_state_dict(load_file(arguments.out, str(arguments.device)))
    results: dict[str, Any] = {
        "parameters": parameters(network), "steps": number, "minutes": round(elapsed / 60, 1),
        "options": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(arguments).items()
            if name not in ("checkpoint", "done", "figures", "minutes", "out", "run")
        },
        "schedule": SCHEDULE, "average": decay, "bytes": arguments.out.stat().st_size,
        **evaluate(average.network),
    }  # fmt: skip
    write_figures(arguments.figures, results)
    print(json.dumps(results), flush=True)


def batches(make: Callable[[], Any], ahead: int = 4) -> Iterator[Any]:
    """Yield what ``make`` returns, prepared by a thread beside the training."""
    waiting: queue.Queue[Any] = queue.Queue(ahead)

    def work() -> None:
        try:
            while True:
                waiting.put(make())
        except Exception as error:  # raised again where the batch is wanted
            waiting.put(error)

    threading.Thread(target=work, daemon=True).start()
    while True:
        batch = waiting.get()
        if isinstance(batch, Exception):
            raise RuntimeError("the next batch cannot be prepared") from batch
        yield batch
