"""How far two engines' results of the same stage are apart, and how far they may be."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from bigart.errors import UserError
from bigart.running.engines import NATIVE

Array = npt.NDArray[Any]

#: Before the names of a file's tensors.
INPUT, RESULT = "input/", "result/"

#: Kind of result -> the largest and the mean difference that still count as agreement, in its unit.
#: They are several times what was measured (docs/fidelity.md), and far less than what a
#: wrong layer makes.
TOLERANCES: Mapping[str, tuple[float, float]] = {
    "numbers": (5e-4, 3e-5),
    "codes": (1.0, 2e-3),
    "picture": (8.0, 0.05),
    # a code that is chosen otherwise, where two are as near, changes a patch visibly
    "picture from codes": (255.0, 0.1),
}
UNITS = {
    "numbers": "of the spread",
    "codes": "of all codes",
    "picture": "of 255",
    "picture from codes": "of 255",
}


@dataclass(frozen=True)
class Difference:
    """How far one result is from the original's.

    Attributes:
        what: Its name ("noise at step 500").
        kind: A key of ``TOLERANCES``.
        largest: Largest difference: for numbers over the standard deviation of the original's,
            for pictures in levels of 255, for codes 0 or 1. Not finite where a result is not.
        mean: Mean difference, likewise; for codes the share that differ.
        largest_allowed: Of the largest.
        mean_allowed: Of the mean.
    """

    what: str
    kind: str
    largest: float
    mean: float
    largest_allowed: float
    mean_allowed: float

    @property
    def unit(self) -> str:
        """What the figures count."""
        return UNITS[self.kind]

    @property
    def agrees(self) -> bool:
        """Whether it is within the tolerance; NaN is not."""
        return self.largest <= self.largest_allowed and self.mean <= self.mean_allowed


@dataclass(frozen=True)
class Run:
    """What verify_stage.py wrote: one stage in one engine.

    Attributes:
        facts: Stage, role, engine, precision, models, device, device_type, seconds, peak_bytes,
            versions.
        inputs: Name -> what both engines are to compute from.
        results: Name -> what this one computed.
    """

    facts: dict[str, Any]
    inputs: dict[str, Array]
    results: dict[str, Array]

    @property
    def is_native(self) -> bool:
        """Whether it is of this project's own engine."""
        return bool(self.facts["engine"] == NATIVE)


def read(path: Path | str) -> Run:
    """Read a file of verify_stage.py.

    Raises:
        UserError: It is missing, damaged or another file.
    """
    try:
        with safe_open(str(path), framework="np") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is no file of verify_stage.py, or damaged ({error}); remove it and run again"
        ) from None
    return Run(facts, _named(tensors, INPUT), _named(tensors, RESULT))


def _named(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}


def compare(native: Run, upstream: Run) -> list[Difference]:
    """Compare a stage's results, one by one.

    Raises:
        UserError: They are not of one engine each; of different stages or models, on different
            types of device or in different precisions; computed from different inputs, or have
            different results.
    """
    if [native.is_native, upstream.is_native] != [True, False]:
        raise UserError(
            "cannot compare: one file is to be of the native engine and one of the other, not of "
            f"{native.facts['engine']} and {upstream.facts['engine']}"
        )
    for fact in ("stage", "models", "device_type", "precision"):
        if native.facts[fact] != upstream.facts[fact]:
            remedy = "; set 'device: cpu' in config.yaml" if fact == "device_type" else ""
            raise UserError(
                f"cannot compare: {fact} is {native.facts[fact]} and {upstream.facts[fact]}{remedy}"
            )
    if not (
        native.inputs.keys() == upstream.inputs.keys()
        and all(np.array_equal(x, upstream.inputs[name]) for name, x in native.inputs.items())
    ):
        raise UserError(
            f"{native.facts['stage']}: the engines computed from different inputs; remove the "
            "upstream engine's file and run again"
        )
    shapes = [{name: x.shape for name, x in run.results.items()} for run in (native, upstream)]
    if shapes[0] != shapes[1]:
        raise UserError(f"{native.facts['stage']}: the engines' results are of different shapes")
    has_codes = "codes" in native.results
    return [
        difference(name, native.results[name], upstream.results[name], has_codes)
        for name in native.results
    ]


def difference(what: str, ours: Array, theirs: Array, has_codes: bool = False) -> Difference:
    """Compare two arrays of one shape.

    Args:
        what: Their name.
        ours: Native.
        theirs: Upstream.
        has_codes: Whether a picture is made from codes that may differ.
    """
    if np.issubdtype(theirs.dtype, np.floating):
        kind, unit = "numbers", float(theirs.std()) or 1.0
        apart = np.abs(ours.astype(np.float64) - theirs) / unit
    elif theirs.dtype == np.uint8:
        kind = "picture from codes" if has_codes else "picture"
        apart = np.abs(ours.astype(np.int64) - theirs)
    else:
        kind, apart = "codes", (ours != theirs).astype(np.int64)
    return Difference(what, kind, float(apart.max()), float(apart.mean()), *TOLERANCES[kind])


def report(pairs: Sequence[tuple[Run, Run]]) -> dict[str, Any]:
    """Return the whole comparison as plain JSON: each stage, and each network in all its stages.

    Args:
        pairs: Native and upstream run of each stage.
    """
    stages = []
    of_networks: dict[str, list[Difference]] = {}
    for native, upstream in pairs:
        differences = compare(native, upstream)
        of_networks.setdefault(native.facts["role"], []).extend(differences)
        stages.append(
            {
                "stage": native.facts["stage"],
                "role": native.facts["role"],
                "models": native.facts["models"],
                **_worst(differences),
                "native": _of_engine(native),
                "upstream": _of_engine(upstream),
                "differences": [_as_json(each) for each in differences],
            }
        )
    networks = [{"role": role, **_worst(found)} for role, found in of_networks.items()]
    agrees = all(stage["agrees"] for stage in stages)
    return {"agrees": agrees, "networks": networks, "stages": stages}


def _worst(differences: Sequence[Difference]) -> dict[str, Any]:
    """Return whether all agree, and the largest differences of those that are numbers."""
    numbers = [each for each in differences if each.kind == "numbers"]
    return {
        "agrees": all(each.agrees for each in differences),
        "largest": _finite(*(each.largest for each in numbers)),
        "mean": _finite(*(each.mean for each in numbers)),
    }


def _as_json(difference: Difference) -> dict[str, Any]:
    figures = {name: _finite(getattr(difference, name)) for name in ("largest", "mean")}
    about = {"unit": difference.unit, "agrees": difference.agrees}
    return {**asdict(difference), **figures, **about}


def _finite(*figures: float) -> float | None:
    """Return the largest figure; None, which is JSON's null, where one is not a number."""
    return max(figures, default=0.0) if all(map(math.isfinite, figures)) else None


def shown(figure: float | None, pattern: str = "%.3g") -> str:
    """Return a figure of ``report`` for people to read."""
    return "not a number" if figure is None else pattern % figure


def _of_engine(run: Run) -> dict[str, Any]:
    names = ("engine", "device", "precision", "seconds", "peak_bytes", "versions")
    return {name: run.facts[name] for name in names}


def verdict(comparison: Mapping[str, Any]) -> list[str]:
    """Return what is beyond its tolerance, a line each; none where the engines agree.

    Args:
        comparison: From ``report``.
    """
    return [
        f"{stage['stage']}, {each['what']}: largest difference {shown(each['largest'])} (at most "
        f"{each['largest_allowed']:.3g} {each['unit']}), mean {shown(each['mean'])} (at most "
        f"{each['mean_allowed']:.3g})"
        for stage in comparison["stages"]
        for each in stage["differences"]
        if not each["agrees"]
    ]
