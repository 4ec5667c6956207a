"""How long the artworks to paint will take, from the logs of earlier ones; no torch.

A stage's time is that of its start plus that of its network, which grows with candidates, steps
and passes (two with guidance). Both are read from earlier artworks of the same models, engine,
precision and kind of device. Where there are none, figures measured elsewhere are scaled by a
short calculation here.
"""

import csv
import functools
import math
import os
import re
import statistics
import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from bigart.config import prints
from bigart.config.options import Artwork, Config
from bigart.config.project import counted
from bigart.running import environment
from bigart.running.engines import NATIVE
from bigart.running.progress import duration
from bigart.stages import INSTEAD, STAGES, Stage
from bigart.weights.table import CLIP_ROLES, ModelFile

NEWEST = 5  # records of a stage: the median of these counts
_OPENED = re.compile(r"^model (.+) on (\w+).* in (\w+), engine (\w+)", re.MULTILINE)
_STEPS = re.compile(r"candidates: (\d+), \d+ at a time, (\d+) steps")
_NETWORK = re.compile(r"the network took ([\d.]+) s")

# On the machine of docs/speed.md. Seconds of the start (with files and, without a network, all);
# of the network for a picture and pass, with the embedded models and at the published sizes.
_STATED = {
    "thumbnails": (2.5, 0.0125, 0.571),
    "picture": (1.5, 0, 0),
    "thumbnails-clip": (4, 0.0125, 0.571),
    "thumbnails-picture": (3, 0.0125, 0.571),
    "thumbnails-repaint": (4, 0.0125, 0.571),
    "upsampled-repaint": (4, 0.179, 3.63),
    "upsampled": (2.5, 0.179, 3.63),
    "contact-sheet": (0.4, 0, 0),
    "enlarged-1024": (2, 1.1, 7.9),
    "textured-1024": (0.4, 0, 0),
    "detailed": (2.5, 3.4, 17.2),
    "enlarged-4096": (3.5, 14.3, 107),
    "textured-4096": (3, 0, 0),
    "final": (0.6, 0, 0),
    "chosen": (4, 0.1, 1.5),
    "proof": (3, 0, 0),
    # for a million pixels: of the result, and of the picture that is read
    "enlarged-print": (3.5, 1.0, 8.0),
    "picture-1024": (3, 1.1, 7.9),
    "enlarged-picture": (4, 1.0, 8.0),
    "final-print": (1, 0.2, 0.2),
    "final-repaint": (2, 0.4, 0.4),
    "preview": (1, 0, 0),
}
# What a gradient of CLIP takes, as a part of a pass of the base network (reckoned from operations).
_CLIP_PASS = 0.6
# How often RePaint takes each step (``TIMES`` and ``TIMES_ABOVE`` of sampling/repaint.py).
_TAKEN = {"thumbnails-repaint": 4, "upsampled-repaint": 2}
_COMPACT = 12  # times faster than BSRGAN is realesr-general-x4v3
_STATED_GFLOPS = 290  # of a product of matrices there
# How many times faster the network is in bf16 with AMX, embedded and at the published sizes.
_AMX = {
    "thumbnails": (2.1, 2.9),
    "thumbnails-clip": (1.0, 1.0),
    "thumbnails-picture": (2.1, 2.9),
    "thumbnails-repaint": (2.1, 2.9),
    "upsampled-repaint": (2.0, 2.9),
    "upsampled": (2.0, 2.9),
    "enlarged-1024": (2.0, 3.1),
    "detailed": (1.2, 1.6),
    "enlarged-4096": (1.6, 3.2),
    "enlarged-print": (1.6, 3.2),
    "picture-1024": (2.0, 3.1),
    "enlarged-picture": (1.6, 3.2),
}
_AMD_BF16 = 2.0  # at most, with AVX512-BF16 in place of AMX


@dataclass(frozen=True)
class Machine:
    """Cores, jobs with a network at once, cores of each, and whether it is the one at hand."""

    cores: int
    networks: int
    threads: int
    here: bool = True


@dataclass(frozen=True)
class _Cost:
    start: float
    work: float  # seconds for each unit of ``_work``


def forecast(
    config: Config,
    table: Mapping[str, Artwork],
    models: Mapping[str, ModelFile],
    outputs: Set[str],
    machine: Machine,
) -> str | None:
    """Say how long the jobs will take that write these files, and which stage is the longest.

    Returns:
        None where none of them paints.
    """
    prefix = f"{config.results}/"
    jobs = set()
    for path in outputs:
        row = table.get(path.removeprefix(prefix).partition("/")[0])
        stage = prints.stage_of(path, row) if row and path.startswith(prefix) else None
        if row and stage and stage.name in _STATED:
            jobs.add((row.artwork, stage.name))
    if not jobs:
        return None
    costs, source = _costs(config, table, models, {name for _, name in jobs}, machine)
    if costs is None:
        return "How long the artworks take is said once one has been painted here."
    sized = _Sizes(models)
    seconds = {
        (artwork, name): costs[name].start
        + costs[name].work
        * _work(STAGES[name], table[artwork], config.candidates, sized)
        * (1 if "base_inpaint" in models else _TAKEN.get(name, 1))
        for artwork, name in jobs
    }
    artworks = {artwork for artwork, _ in jobs}
    stages = {each: 0.0 for each in STAGES if any(name == each for _, name in jobs)}
    for (_, name), took in seconds.items():
        stages[name] += took
    longest = max(stages, key=lambda name: stages[name])
    each = stages[longest] / sum(name == longest for _, name in jobs)
    return (
        f"About {duration(_wall(seconds, machine))} for {counted(len(artworks), 'artwork')}, "
        f"{source}; longest stage: {STAGES[longest].rule}, {duration(each)} an artwork."
    )


def _wall(seconds: Mapping[tuple[str, str], float], machine: Machine) -> float:
    """Return the time of jobs that run side by side: what is scarcest decides."""
    chains: dict[str, float] = {}
    networks = all_cores = 0.0
    for (artwork, name), took in seconds.items():
        chains[artwork] = chains.get(artwork, 0) + took
        networks += took * bool(STAGES[name].role)
        threads = machine.threads if STAGES[name].role else 1
        all_cores += took * min(threads, machine.cores)
    return max(*chains.values(), networks / machine.networks, all_cores / machine.cores)


@dataclass(frozen=True)
class _Sizes:
    """Sizes of prints, for a set of models."""

    models: Mapping[str, ModelFile]

    @functools.cached_property
    def _picture(self) -> int:
        return prints.ENLARGED * prints.side(self.models)

    def megapixels(self, stage: Stage, artwork: Artwork) -> float:
        return prints.megapixels(stage, artwork, self.models, self._picture)


def _work(stage: Stage, artwork: Artwork, candidates: int, sizes: _Sizes) -> float:
    """Return how often the network of a stage sees a picture, or the million pixels of a print."""
    if stage.name in prints.GROWING:
        return sizes.megapixels(stage, artwork)
    if stage.file == STAGES["thumbnails"].file:
        share = artwork.strength if artwork.is_begun and artwork.strength is not None else 1
        return candidates * artwork.steps * share * _passes(stage, artwork)
    if stage.file == STAGES["upsampled"].file:
        return candidates * _upsample_steps(str(artwork.upsample_steps)) * _passes(stage, artwork)
    return 1


def _passes(stage: Stage, artwork: Artwork) -> float:
    if stage.file == STAGES["upsampled"].file:
        return 1 if artwork.upsample_guidance == 1 else 2
    if stage.file != STAGES["thumbnails"].file:
        return 1
    by_clip = stage.name == "thumbnails-clip"
    by_text = artwork.guidance != 1 and (not by_clip or artwork.guide == "both")
    return 1 + by_text + _CLIP_PASS * (by_clip and artwork.clip_scale > 0)


def _upsample_steps(text: str) -> int:
    return 27 if text == "fast27" else int(text.removeprefix("ddim"))


def _costs(
    config: Config,
    table: Mapping[str, Artwork],
    models: Mapping[str, ModelFile],
    stages: Set[str],
    machine: Machine,
) -> tuple[dict[str, _Cost] | None, str]:
    """Return what each stage costs and, in words, where that is known from."""
    gpu = environment.expects_gpu(config.device)
    found = {}
    for name in stages:
        records = _records(STAGES[name], config, table, models, gpu, machine)
        newest = [cost for _, cost in sorted(records, key=lambda record: -record[0])[:NEWEST]]
        if newest:
            start, work = zip(*((cost.start, cost.work) for cost in newest), strict=True)
            found[name] = _Cost(statistics.median(start), statistics.median(work))
    missing = stages - found.keys()
    if not any(STAGES[name].role for name in missing):
        # what has no network takes the same everywhere, nearly
        return found | {name: _Cost(*_STATED[name][:2]) for name in missing}, "as earlier ones took"
    if gpu or not machine.here:
        return None, ""
    slower = _STATED_GFLOPS / _gflops()
    most = _fastest_bf16() if _precisions(config, gpu, machine) == ("bf16",) else 1
    for name in missing:
        own_start, *network = _STATED[name]
        file = models[STAGES[name].role] if STAGES[name].role else None
        published = file is not None and not file.name.startswith("embedded-")
        faster = min(most, _AMX[name][published]) if name in _AMX else 1
        if file and file.architecture == "srvggnet":
            faster *= _COMPACT
        found[name] = _Cost(own_start * slower, network[published] * slower / faster)
    return found, "going by another machine's figures and this one's speed"


def _fastest_bf16() -> float:
    """Return how many times faster bf16 is here at most."""
    if environment.has_amx():
        return math.inf
    return _AMD_BF16 if environment.has_amd_bf16() else 1


def _records(
    stage: Stage,
    config: Config,
    table: Mapping[str, Artwork],
    models: Mapping[str, ModelFile],
    gpu: bool,
    machine: Machine,
) -> Iterator[tuple[float, _Cost]]:
    """Yield the time of a stage's earlier runs with the settings at hand, and what they cost."""
    name = Path(models[stage.role].final_path()).name if stage.role else ""
    # a judge always computes in float32
    judges = stage.role in CLIP_ROLES
    wanted = ("fp32",) if judges else _precisions(config, gpu, machine)
    sizes = _Sizes(models)
    for artwork in table.values():
        first = INSTEAD.get(stage.name, stage.name)
        if prints.doing(first, artwork) != stage.name:
            continue  # the log is that of another one
        log = f"{config.results}/{artwork.artwork}/log/{stage.log.format(format=artwork.format)}"
        try:
            with open(f"{log}.benchmark.tsv", encoding="utf-8") as file:  # noqa: PTH123 (thousands)
                total = float(next(csv.DictReader(file, delimiter="\t"))["s"])
                when = os.fstat(file.fileno()).st_mtime
            text = Path(f"{log}.log").read_text(encoding="utf-8") if stage.role else ""
        except (OSError, ValueError, LookupError, StopIteration):
            continue
        if not stage.role:
            units = sizes.megapixels(stage, artwork) if stage.name in prints.GROWING else 0
            yield when, _Cost(0, total / units) if units else _Cost(total, 0)
            continue
        opened, took, steps = _OPENED.search(text), _NETWORK.search(text), _STEPS.search(text)
        if not opened or not took or "resuming" in text:
            continue
        model, device, precision, engine = opened.groups()
        same = Path(model).name == name and (engine == NATIVE) == (config.engine == NATIVE)
        if same and (device != "cpu") == gpu and precision in wanted:
            if steps and not int(steps[2]):
                continue  # of strength 0
            units = int(steps[1]) * int(steps[2]) * _passes(stage, artwork) if steps else 1.0
            if stage.name in prints.GROWING and not (units := sizes.megapixels(stage, artwork)):
                continue
            network = min(float(took[1]), total)
            yield when, _Cost(total - network, network / units)


def _precisions(config: Config, gpu: bool, machine: Machine) -> tuple[str, ...]:
    """Return the precisions in which the networks may compute."""
    if config.precision != "auto":
        return (config.precision,)
    if config.engine != NATIVE:
        return ("fp32",)
    if gpu or not machine.here:
        return ("fp32", "bf16", "fp16")
    return (environment.best_precision("cpu"),)


def _gflops() -> float:
    """Return how many billion operations a second this machine multiplies matrices with."""
    import numpy as np

    side, best = 1024, float("inf")
    x = np.ones((side, side), np.float32)
    until = time.monotonic() + 0.5
    while best == float("inf") or time.monotonic() < until:
        start = time.perf_counter()
        x @ x
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9
