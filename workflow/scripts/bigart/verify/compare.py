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

#: Kind of result -> the largest and the mean difference that still count as agreement, and their
#: unit. They are several times what was measured (docs/fidelity.md), and far less than what a
#: wrong layer makes.
TOLERANCES: Mapping[str, tuple[float, float, str]] = {
    "numbers": (5e-4, 3e-5, "of the spread"),
    "codes": (1.0, 2e-3, "of all codes"),
    "picture": (8.0, 0.05, "of 255"),
    # a code that is chosen otherwise, where two are as near, changes a patch visibly
    "picture from codes": (255.0, 0.1, "of 255"),
}


@dataclass(frozen=True)
class Difference:
    """How far one result is from the original's, and how far it may be.

    Numbers are compared in standard deviations of the original's, pictures in levels of 255, and
    codes as 0 or 1, so that their mean is the share that differ. Not finite where a result is not.
    """

    what: str  # "noise at step 500"
    kind: str  # a key of TOLERANCES
    largest: float
    mean: float
    largest_allowed: float
    mean_allowed: float
    unit: str

    @property
    def agrees(self) -> bool:
        """Whether it is within the tolerance; NaN is not."""
        return self.largest <= self.largest_allowed and self.mean <= self.mean_allowed


@dataclass(frozen=True)
class Run:
    """What verify_stage.py wrote: one stage in one engine."""

    facts: dict[str, Any]  # stage, role, engine, models, device, seconds ...
    inputs: dict[str, Array]  # what both engines are to compute from
    results: dict[str, Array]  # what this one computed


def read(path: Path | str) -> Run:
    """Read a file of verify_stage.py.

    Raises:
        UserError: It is missing, damaged or another file.
    """
    parts: dict[str, dict[str, Array]] = {INPUT: {}, RESULT: {}}
    try:
        with safe_open(str(path), framework="np") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            for name in file.keys():  # noqa: SIM118
                prefix, slash, rest = name.partition("/")
                parts[prefix + slash][rest] = file.get_tensor(name)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is missing, damaged or not of verify_stage.py ({error}); run it again"
        ) from None
    return Run(facts, parts[INPUT], parts[RESULT])


def compare(native: Run, upstream: Run) -> list[Difference]:
    """Compare a stage's results, one by one.

    Raises:
        UserError: They are not of one engine each; of different stages or models, on different
            types of device or in different precisions; computed from different inputs, or have
            different results.
    """
    stage = native.facts["stage"]
    engines = native.facts["engine"], upstream.facts["engine"]
    if engines[0] != NATIVE or engines[1] == NATIVE:
        raise UserError(
            "cannot compare: one file is to be of the native engine and one of the other, not of "
            f"{' and '.join(engines)}"
        )
    for fact in ("stage", "models", "device_type", "precision"):
        ours, theirs = native.facts[fact], upstream.facts[fact]
        if ours != theirs:
            remedy = "; set 'device: cpu' in config.yaml" if fact == "device_type" else ""
            raise UserError(f"cannot compare: {fact} is {ours} and {theirs}{remedy}")
    inputs = [{name: x.tobytes() for name, x in run.inputs.items()} for run in (native, upstream)]
    if inputs[0] != inputs[1]:
        raise UserError(
            f"{stage}: the engines computed from different inputs; remove the upstream engine's "
            "file and run again"
        )
    shapes = [{name: x.shape for name, x in run.results.items()} for run in (native, upstream)]
    if shapes[0] != shapes[1]:
        raise UserError(f"{stage}: the engines' results are of different shapes")
    has_codes = "codes" in native.results
    return [
        difference(name, ours, upstream.results[name], has_codes)
        for name, ours in native.results.items()
    ]


def difference(what: str, ours: Array, theirs: Array, has_codes: bool = False) -> Difference:
    """Compare a native and an upstream array of one shape.

    A picture that is made from codes (``has_codes``) has a tolerance of its own.
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
    """Return the comparison of native and upstream runs as plain JSON, by stage and by network."""
    stages = []
    of_networks: dict[str, list[Difference]] = {}
    of_engine = ("engine", "device", "precision", "seconds", "peak_bytes", "versions")
    for native, upstream in pairs:
        differences = compare(native, upstream)
        of_networks.setdefault(native.facts["role"], []).extend(differences)
        stages.append(
            {
                **{name: native.facts[name] for name in ("stage", "role", "models")},
                **_worst(differences),
                "native": {name: native.facts[name] for name in of_engine},
                "upstream": {name: upstream.facts[name] for name in of_engine},
                "differences": [
                    {**asdict(each), **_figures([each]), "agrees": each.agrees}
                    for each in differences
                ],
            }
        )
    networks = [{"role": role, **_worst(found)} for role, found in of_networks.items()]
    agrees = all(stage["agrees"] for stage in stages)
    return {"agrees": agrees, "networks": networks, "stages": stages}


def _worst(differences: Sequence[Difference]) -> dict[str, Any]:
    """Return whether all agree, and the largest differences of those that are numbers."""
    figures = _figures([each for each in differences if each.kind == "numbers"])
    return {"agrees": all(each.agrees for each in differences), **figures}


def _figures(differences: Sequence[Difference]) -> dict[str, float | None]:
    """Return the largest figures; None, which is JSON's null, where one is not a number."""
    found: dict[str, float | None] = {}
    for name in ("largest", "mean"):
        figures = [getattr(each, name) for each in differences]
        found[name] = max(figures, default=0.0) if all(map(math.isfinite, figures)) else None
    return found


def shown(figure: float | None, pattern: str = "%.3g") -> str:
    """Return a figure of ``report`` for people to read."""
    return "not a number" if figure is None else pattern % figure


def verdict(comparison: Mapping[str, Any]) -> list[str]:
    """Return what is beyond its tolerance in a ``report``, a line each."""
    return [
        f"{stage['stage']}, {each['what']}: largest difference {shown(each['largest'])} (at most "
        f"{each['largest_allowed']:.3g} {each['unit']}), mean {shown(each['mean'])} (at most "
        f"{each['mean_allowed']:.3g})"
        for stage in comparison["stages"]
        for each in stage["differences"]
        if not each["agrees"]
    ]
