"""What the trainings share: pictures drawn beside them, averages of weights, the loop.

``train_all.py`` trains; each ``train_NAME.py`` says how one network is trained, as a ``Job``.
"""

import copy
import functools
import json
import multiprocessing
import os
import queue
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
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

from bigart.networks.clip_words import ClipWords
from bigart.networks.native.clip import ClipText
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.tokenizer import Tokenizer
from bigart.running import environment
from bigart.running.files import atomic
from bigart.weights.conversion import open_network, save_network
from painter import FAMILIES, Scene, caption, paint, sample_scene
from widen import widen

Network = TypeVar("Network", bound=nn.Module)
Picture = NDArray[np.uint8]
#: Of a step, for the log; tensors are read when the log is written, so that a GPU need not wait.
Figures = dict[str, Tensor | float]


class Stateful(Protocol):
    """What is kept to go on from: a module or an optimizer."""

    def state_dict(self) -> dict[str, Any]:
        """Return what is to be kept."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take it back."""


RUNS = HERE / "runs"
FIGURES = HERE / "figures"
SHIPPED = HERE.parent / "models" / "embedded"
#: Pictures with an index from here on are for the figures, never for training.
HELD_OUT = 1_000_000
TOKENS = 64  # text context of both GLIDE networks
CAPTIONS = 8  # drawn for each picture, one of which is trained on at a time
FEWEST = 6  # steps of a run, however short
PAUSE = 120.0  # seconds: a step that takes longer was stopped in between, which does not count


@dataclass(frozen=True)
class Run:
    """What all trainings of one call share.

    Attributes:
        out: Folder of the weights, the figures and the state to go on from.
        start: Folder of such files to go on from.
        device: "cpu" or "cuda".
        cores: CPU cores to use.
        compile: Whether networks are compiled where that pays.
        rate: Factor of the learning rates.
        seed: Decides what the pictures do not.
        tiny: Small networks, small pictures: a trial of the code.
        pictures: Folder of the drawn pictures.
    """

    out: Path
    start: Path | None = None
    device: str = "cpu"
    cores: int = 1
    compile: bool = False
    rate: float = 1.0
    seed: int = 0
    tiny: bool = False
    pictures: Path = RUNS / "pictures"

    def batch(self, cpu: int, gpu: int) -> int:
        """Return the pictures of a step on this device."""
        return 2 if self.tiny else cpu if self.device == "cpu" else gpu

    def weights(self, name: str) -> Path:
        """Return the newest weights of a network: of this call, of ``start``, or the shipped."""
        for folder in (self.out, self.start):
            if folder and (folder / f"{name}.safetensors").exists():
                return folder / f"{name}.safetensors"
        return SHIPPED / f"{name}.safetensors"

    def history(self) -> dict[str, Any]:
        """Return the figures that are there: of this call, or else of ``start``."""
        for folder in (self.out, self.start):
            if folder and (folder / "figures.json").exists():
                figures: dict[str, Any] = json.loads((folder / "figures.json").read_text("utf-8"))
                return figures
        return {}

    def earlier(self) -> int:
        """Return how many runs led to what is there."""
        return sum(len(figures.get("runs", ())) for figures in self.history().values())


@dataclass
class Job:
    """How a network is trained.

    Attributes:
        name: Of the network, and of its weights file.
        architecture: For the weights file; empty where each part has its own.
        network: Trained in place.
        rate: Highest learning rate.
        batch: Pictures of a step, for the record.
        step: (step of this call, progress 0-1) -> (loss, figures for the log).
        evaluate: Averaged network -> figures.
        decay: Of the moving average.
        beside: What else is kept to go on from, by name.
        parts: Attributes of the network, each a network with a file of its own, NAME-PART; when
            empty the network is one file, NAME.
    """

    name: str
    architecture: str
    network: nn.Module
    rate: float
    batch: int
    step: Callable[[int, float], tuple[Tensor, Figures]]
    evaluate: Callable[[nn.Module], dict[str, Any]]
    decay: float = 0.998
    beside: Mapping[str, Stateful] = field(default_factory=dict)
    parts: tuple[str, ...] = ()

    def files(self, network: nn.Module, out: Path) -> dict[Path, nn.Module]:
        """Return the weights files of a network of this job in a folder, and what each holds."""
        if not self.parts:
            return {out / f"{self.name}.safetensors": network}
        return {
            out / f"{self.name}-{part}.safetensors": network.get_submodule(part)
            for part in self.parts
        }


# -- pictures ------------------------------------------------------------------------------


def scene_at(index: int) -> Scene:
    """Return the scene of picture ``index``, always the same."""
    return sample_scene(np.random.default_rng((7, index)))


def picture_at(index: int, size: int) -> Picture:
    """Return picture ``index``, (size, size, 3)."""
    return paint(scene_at(index), size, index)


def pictures_at(indices: Sequence[int], size: int) -> list[Picture]:
    """Return pictures, drawn on all cores, each (size, size, 3)."""
    cores, context = len(os.sched_getaffinity(0)), multiprocessing.get_context("fork")
    with ProcessPoolExecutor(cores, context) as pool:
        return list(pool.map(picture_at, indices, repeat(size)))


def tensor(picture: Picture) -> Tensor:
    """Return a picture (n, n, 3) as (1, 3, n, n) in [-1, 1]."""
    return torch.tensor(picture).permute(2, 0, 1)[None] / 127.5 - 1


def held_out(count: int, size: int) -> Tensor:
    """Return the first pictures that are kept from training, (count, 3, size, size) in [-1, 1]."""
    return torch.cat([tensor(p) for p in pictures_at(range(HELD_OUT, HELD_OUT + count), size)])


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Return pictures (B, 3, H, W) after a Gaussian blur of ``sigma`` pixels."""
    reach = int(3 * sigma) + 1
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=pictures.device) / sigma) ** 2)
    taps = (taps / taps.sum()).expand(3, 1, 1, -1)
    padded = F.pad(pictures, (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(padded, taps, groups=3), taps.mT, groups=3)


def read_vocabulary() -> Tokenizer:
    """Read the embedded vocabulary."""
    return Tokenizer.from_files(SHIPPED / "encoder.json", SHIPPED / "vocab.bpe")


def tokenized(captions: Sequence[str], vocabulary: Tokenizer) -> tuple[Tensor, Tensor]:
    """Return tokens (B, TOKENS) int64 and mask (B, TOKENS); no token at all where it is empty."""
    tokens, masks = zip(*(vocabulary.context(c, TOKENS) for c in captions), strict=True)
    return torch.cat(tokens), torch.cat(masks)


@torch.no_grad()
def clip_vectors(text: ClipText, captions: Sequence[str]) -> Tensor:
    """Return the judge's unit vectors of captions, (B, embedding)."""
    words, context = ClipWords(read_vocabulary()), text.options.text_ctx
    tokens, ends = zip(*(words.context(c, context) for c in captions), strict=True)
    device = next(text.parameters()).device
    return text.embed(torch.tensor(tokens, device=device), torch.tensor(ends, device=device))


def painter_version() -> str:
    """Return a sum of the code that draws and the vocabulary that its captions are written in."""
    files = [
        *sorted((HERE / "painter").glob("*.py")),
        HERE / "dead_leaves.py",
        SHIPPED / "vocab.bpe",
    ]
    return f"{zlib.crc32(b''.join(file.read_bytes() for file in files)):08x}"


class Pool:
    """Pictures on disk, (count, size, size, 3) uint8, that processes fill beside the training.

    The painter's come with captions: tokens (count, CAPTIONS, TOKENS) int16, -1 where there is
    none, and the numbers of their families (count,) uint8.

    Args:
        folder: Where the files are.
        size: Side in pixels.
        count: How many pictures in the end.
        first: How many are drawn before those of the next pools.
        make: (index, size) -> picture; the painter's when omitted.
        kind: In the name of the file, for pictures that are not the painter's.
    """

    def __init__(
        self,
        folder: Path,
        size: int,
        count: int,
        first: int,
        make: Callable[[int, int], Picture] = picture_at,
        kind: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.size, self.count, self.first, self.make, self.kind = size, count, first, make, kind
        self.stem = folder / f"{painter_version()}-{kind}{size}-{count}"
        self.pictures = self._array("pictures", np.uint8, (count, size, size, 3))
        self.words = self._array("words", np.int16, (count, CAPTIONS, TOKENS))
        self.families = self._array("families", np.uint8, (count,))
        self._done = self._array("done", np.uint8, (count,))
        self.drawers: list[multiprocessing.Process] = []

    def _array(self, name: str, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
        path = self.stem.with_name(f"{self.stem.name}.{name}")
        return np.memmap(path, dtype, "r+" if path.exists() else "w+", shape=shape)

    def ready(self) -> int:
        """Return how many pictures are there, from the first on."""
        return self.count if self._done.all() else int(np.argmin(self._done))

    def wait(self, count: int) -> None:
        """Wait for the first ``count`` pictures.

        Raises:
            RuntimeError: The processes that draw have ended before.
        """
        while self.ready() < min(count, self.count):
            alive = any(drawer.is_alive() for drawer in self.drawers)
            if not alive and self.ready() < min(count, self.count):
                raise RuntimeError(f"no pictures for {self.stem}: the processes that draw ended")
            time.sleep(0.2)

    def draw(self, indices: range, parent: int) -> None:
        """Draw those of some pictures that are not there yet, while the parent process lives."""
        vocabulary = read_vocabulary()
        for index in indices:
            if self._done[index]:
                continue
            if os.getppid() != parent:  # it was killed
                return
            self.pictures[index] = self.make(index, self.size)
            if not self.kind:
                rng, scene = np.random.default_rng((8, index)), scene_at(index)
                tokens, mask = tokenized([caption(scene, rng) for _ in range(CAPTIONS)], vocabulary)
                self.words[index] = tokens.masked_fill(~mask, -1).numpy()
                self.families[index] = list(FAMILIES).index(scene.family)
            self._done[index] = 1

    def some(
        self, rng: np.random.Generator, batch: int, shares: NDArray[np.float64] | None = None
    ) -> NDArray[np.int64]:
        """Return the indices of pictures, (batch,).

        Args:
            rng: Decides which.
            batch: How many.
            shares: How often a picture of each family is taken, at most 1.
        """
        ready, chosen = self.ready(), np.empty(0, np.int64)
        while len(chosen) < batch:
            indices = rng.integers(0, ready, 4 * batch)
            if shares is not None:
                indices = indices[rng.random(4 * batch) < shares[self.families[indices]]]
            chosen = np.concatenate([chosen, indices])
        return chosen[:batch]

    def crops(self, rng: np.random.Generator, indices: NDArray[np.int64], side: int) -> Tensor:
        """Return random crops of pictures, (B, 3, side, side) uint8, every other one flipped."""
        tops, lefts = rng.integers(0, self.size - side + 1, (2, len(indices)))
        crops = [
            self.pictures[index, top : top + side, left : left + side]
            for index, top, left in zip(indices, tops, lefts, strict=True)
        ]
        flipped = [crop[:, :: 1 - 2 * int(rng.integers(2))] for crop in crops]
        return torch.from_numpy(np.stack(flipped)).permute(0, 3, 1, 2)

    def texts(
        self, rng: np.random.Generator, indices: NDArray[np.int64], none: float
    ) -> tuple[Tensor, Tensor]:
        """Return a caption of each picture as tokens and mask; no token for a share of ``none``."""
        words = self.words[indices, rng.integers(0, CAPTIONS, len(indices))].astype(np.int64)
        words[rng.random(len(indices)) < none] = -1
        tokens = torch.from_numpy(words)
        return tokens.clamp(min=0), tokens >= 0


def draw(pools: Sequence[Pool], cores: int) -> None:
    """Fill pools beside the training, in as many processes as there are cores.

    The first pictures of all pools are drawn before the rest of any.
    """
    if all(pool.ready() == pool.count for pool in pools):
        return
    context = multiprocessing.get_context("fork")
    for core in range(cores):
        drawer = context.Process(target=_draw, args=(pools, core, cores, os.getpid()), daemon=True)
        drawer.start()
        for pool in pools:
            pool.drawers.append(drawer)  # type: ignore[arg-type]


def _draw(pools: Sequence[Pool], core: int, cores: int, parent: int) -> None:
    os.nice(3)
    torch.set_num_threads(1)
    for pool in pools:
        pool.draw(range(core, min(pool.first, pool.count), cores), parent)
    for pool in pools:
        pool.draw(range(core, pool.count, cores), parent)


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


class Batches(torch.utils.data.IterableDataset[Any]):
    """An endless row of what ``make`` returns, for a DataLoader's processes."""

    def __init__(self, make: Callable[[np.random.Generator], Any], seed: tuple[int, ...]) -> None:
        self.make, self.seed = make, seed

    def __iter__(self) -> Iterator[Any]:
        """Yield batches; each process has random numbers of its own."""
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((*self.seed, worker.id if worker else 0))
        while True:
            yield self.make(rng)


def prepared(run: Run, make: Callable[[np.random.Generator], Any], use: int) -> Iterator[Any]:
    """Yield what ``make`` returns: prepared by processes where there are cores to spare.

    A run that goes on from another has other random numbers than that.
    """
    seed = (run.seed, use, run.earlier())
    if run.cores < 4:
        rng = np.random.default_rng(seed)
        return batches(lambda: make(rng))
    workers = min(12, run.cores - 2)
    loader = torch.utils.data.DataLoader(
        Batches(make, seed), batch_size=None, num_workers=workers, prefetch_factor=4,
        pin_memory=run.device != "cpu",
    )  # fmt: skip
    return iter(loader)


# -- the loop ------------------------------------------------------------------------------


class Average:
    """Exponential moving average of a network's parameters."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network; fast during the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine: list[Tensor] = [*self.network.parameters()]
        theirs: list[Tensor] = [*network.parameters()]
        torch._foreach_lerp_(mine, theirs, 1 - decay)


def parameters(network: nn.Module) -> int:
    """Count parameters."""
    return sum(p.numel() for p in network.parameters())


def autocast(device: str, channels: int) -> torch.autocast:
    """Return bf16 autocast where that is quicker for a network of so many channels.

    On a GPU it is. On a CPU with AMX it is from 48 channels on (measured, a training step of 8
    pictures on one core, seconds in float32 and bf16: 32 channels 0.79, 0.76; 48 1.41, 0.90; 64
    2.03, 1.17). On one of AMD with AVX512-BF16 it always is (upsampler, 32 channels, on one core
    1.18, 0.79; base, 64 channels, 16 pictures on two cores 2.0, 1.27), on others nowhere.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu" or _bf16_pays(channels))


@functools.cache
def _bf16_pays(channels: int) -> bool:
    return channels >= 48 if environment.has_amx() else environment.has_amd_bf16()


def on_device(network: Network, device: str) -> Network:
    """Return a network of convolutions on its device, channels last."""
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def compiled(network: nn.Module, run: Run) -> nn.Module:
    """Return the network, compiled if the run compiles; as it is where the compiler fails."""
    if not run.compile:
        return network
    torch._dynamo.config.suppress_errors = True
    return torch.compile(network)  # type: ignore[return-value]


def start_from(run: Run, network: nn.Module, name: str) -> bool:
    """Load the weights of ``run.start`` if it has these; tell whether it has.

    A GLIDE network may be wider than they are.
    """
    path = run.start / f"{name}.safetensors" if run.start else None
    if path is None or not path.exists():
        return False
    found, _ = open_network(path, dtype=torch.float32)
    if isinstance(network, Text2ImUNet) and found.options != network.options:
        assert isinstance(found, Text2ImUNet)
        widen(network, found)
    else:
        network.load_state_dict(found.state_dict())
    return True


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Write a file of figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def idle_cores(cores: int) -> int:
    """Return how many of so many cores other processes leave to this one, at least 1.

    Two threads that wait for each other at every layer are slower than one where a core is busy.
    """
    others = os.getloadavg()[0] - torch.get_num_threads()
    return max(1, min(cores, round(cores - others)))


def train(run: Run, job: Job, seconds: float, save_every: float = 120.0) -> None:
    """Train for a time, saving as it goes, then write the weights, the state and the figures.

    AdamW begins anew in each run, with 100 steps of warm-up; the rate falls to nothing over the
    run. A process that is stopped for a while (SIGSTOP) does not lose that time.

    Args:
        run: Where, and with what.
        job: What.
        seconds: How long, without the figures.
        save_every: Seconds between two times that it saves.
    """
    network, state = job.network, run.out / f"state-{job.name}.pt"
    average, on_gpu = Average(network, job.decay), run.device != "cpu"
    files = job.files(average.network, run.out)
    optimizer = torch.optim.AdamW(
        network.parameters(), job.rate, (0.9, 0.99), weight_decay=0.01, fused=on_gpu
    )
    before = run.start / state.name if run.start else state
    if job.beside and before.exists():
        for name, saved in torch.load(before, map_location=run.device, weights_only=True).items():
            job.beside[name].load_state_dict(saved)
    record: dict[str, Any] = {
        "device": run.device, "batch": job.batch, "rate": job.rate * run.rate, "seed": run.seed,
        "average": job.decay,
    }  # fmt: skip
    number, elapsed, last_save, last_log = 0, 0.0, 0.0, 0.0
    history = run.history().get(job.name, {})
    earlier = history.get("runs", [])

    def save(**figures: Any) -> None:
        for path, part in files.items():
            save_network(part, path, job.architecture or part.architecture)  # type: ignore[arg-type]
        if job.beside:
            with atomic(state) as path:
                torch.save({name: one.state_dict() for name, one in job.beside.items()}, path)
        now = {
            "parameters": parameters(network), "bytes": sum(path.stat().st_size for path in files),
            "runs": [*earlier, record | {"steps": number, "minutes": round(elapsed / 60, 1)}],
        }  # fmt: skip
        write_figures(run.out / "figures.json", run.history() | {job.name: now | figures})

    print(f"{job.name}: {parameters(network) / 1e6:.2f} M parameters", flush=True)
    lately: dict[str, list[Tensor | float]] = {}
    while elapsed < seconds or number < FEWEST:
        start = time.monotonic()
        progress = min(1.0, elapsed / max(seconds, 1.0))
        rate = job.rate * run.rate * max((1 - progress**2) ** 1.5, 0.01)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (number + 1) / 100)
        loss, figures = job.step(number, progress)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if on_gpu:  # it skips the step itself
            optimizer.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined]
        if on_gpu or torch.isfinite(norm):
            optimizer.step()
        number += 1
        average.update(network, number)
        elapsed += min(time.monotonic() - start, PAUSE)
        for key, value in {"loss": loss.detach(), "norm": norm, **figures}.items():
            lately.setdefault(key, []).append(value)
        if elapsed - last_log > 20 or number == FEWEST:
            line = {"step": number, "minutes": round(elapsed / 60, 2)}
            line["seconds_per_step"] = round((elapsed - last_log) / len(lately["loss"]), 4)
            line |= {
                key: round(sum(float(value) for value in values) / len(values), 5)
                for key, values in lately.items()
            }
            print(job.name, json.dumps(line), flush=True)
            last_log, lately = elapsed, {}
            torch.set_num_threads(idle_cores(run.cores))
        if elapsed - last_save > save_every:
            save()
            last_save = elapsed
    save()
    for path, part in files.items():
        part.load_state_dict(load_file(path, str(torch.device(run.device))))
    figures = job.evaluate(average.network)
    save(**figures)
    print(job.name, json.dumps(figures), flush=True)
