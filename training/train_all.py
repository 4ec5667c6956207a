"""Train the embedded networks, on one GPU in minutes or on a CPU in hours.

    python training/train_all.py --minutes 7 --out training/runs/new --from models/embedded

Base, upsampler, enlarger, detailer and judge get their shares of the minutes, one after the other.
All cores draw the painter's pictures beside the training. It saves every two minutes and ends in
time. In ``--out`` it leaves the weights (NAME.safetensors, under 16 MB each), ``figures.json`` with
the settings of all runs that led to them, and ``state-NAME.pt`` of two, which only going on needs.
Called again with the same ``--out`` it goes on from there; with ``--from`` from those of another
folder. A network whose weights are in neither begins from nothing.
"""

import argparse
import os
import time
from pathlib import Path

import torch

import common
import train_base
import train_detailer
import train_enlarger
import train_judge
import train_upsampler
from common import Run

NETWORKS = {
    "base": (train_base, 0.42),
    "upsampler": (train_upsampler, 0.22),
    "enlarger": (train_enlarger, 0.14),
    "detailer": (train_detailer, 0.14),
    "judge": (train_judge, 0.08),
}
#: Share of the time that is kept for the figures.
FIGURES = 0.06


def main(words: list[str] | None = None) -> None:
    """Train."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True, help="of the whole call")
    parser.add_argument("--out", type=Path, required=True, help="folder for what comes out")
    parser.add_argument("--from", dest="start", type=Path, help="folder of weights to go on from")
    parser.add_argument("--only", default=",".join(NETWORKS), help="some of these")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="to use")
    parser.add_argument("--compile", action="store_true", help="compile: for runs of an hour")
    parser.add_argument("--rate", type=float, default=1.0, help="factor of the learning rates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path, default=Run.pictures, help="folder to draw in")
    parser.add_argument("--tiny", action="store_true", help="tiny networks: try the code")
    a = parser.parse_args(words)
    ends = time.monotonic() + a.minutes * 60
    names = a.only.split(",")
    if unknown := set(names) - set(NETWORKS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(NETWORKS)}")
    there = (a.out / "figures.json").exists()
    if a.start and there:
        parser.error(f"{a.out} has a run to go on with: leave --from out, or choose another --out")
    a.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(common.idle_cores(a.cores))
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True  # all batches have one shape
    run = Run(
        a.out, a.out if there else a.start, a.device, a.cores,
        a.compile, a.rate, a.seed, a.tiny, a.pictures,
    )  # fmt: skip
    torch.manual_seed(a.seed + run.earlier())
    pools = {name: NETWORKS[name][0].pools(run) for name in names}
    common.draw([pool for some in pools.values() for pool in some], run.cores)
    left = sum(NETWORKS[name][1] for name in names)
    for name in names:
        module, share = NETWORKS[name]
        for pool in pools[name]:
            pool.wait(pool.first)
        begins = time.monotonic()
        turn = (ends - begins) * share / left
        job = module.job(run, pools[name])
        seconds = turn * (1 - FIGURES) - (time.monotonic() - begins)
        common.train(run, job, seconds)
        left -= share


if __name__ == "__main__":
    main()
