"""What the stages of an artwork took: the times and the memory that Snakemake has measured."""

import contextlib
import csv
from dataclasses import asdict, dataclass
from pathlib import Path

from bigart.running.progress import duration
from bigart.stages import ALL, STAGES


@dataclass(frozen=True)
class Measured:
    """What a stage took, for people.

    Attributes:
        stage: Its name.
        seconds: From start to end of its process.
        memory: Peak of its process in bytes, not counting a GPU's.
    """

    stage: str
    seconds: float
    memory: float

    def shown(self) -> dict[str, str]:
        """Return name, time and memory as words."""
        memory = (
            f"{self.memory / 1e9:.1f} GB" if self.memory >= 1e9 else f"{self.memory / 1e6:.0f} MB"
        )
        seconds = f"{self.seconds:.1f} s" if self.seconds < 10 else duration(self.seconds)
        return {"stage": self.stage, "time": seconds, "memory": memory}


def read(logs: Path, suffix: str) -> list[Measured]:
    """Return what each stage took, in the order of a run, but for those without a measurement.

    Args:
        logs: The folder ``log`` of an artwork.
        suffix: The format of its final file, such as "png".
    """
    found = []
    for stage in (*ALL, STAGES["chosen"]):
        path = logs / f"{stage.log.format(format=suffix)}.benchmark.tsv"
        with contextlib.suppress(OSError, ValueError, LookupError, StopIteration):
            with path.open(encoding="utf-8") as file:
                row = next(csv.DictReader(file, delimiter="\t"))
            memory = float(row["max_rss"]) if row["max_rss"] not in ("", "NA") else 0.0
            found.append(Measured(stage.name, float(row["s"]), memory * 2**20))
    return found


def as_json(measured: list[Measured]) -> list[dict[str, object]]:
    """Return measurements as values of JSON."""
    return [asdict(each) for each in measured]
