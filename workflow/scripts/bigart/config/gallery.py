"""What the pages of the gallery say about artworks, and the pages themselves."""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from bigart.config import artworks
from bigart.config.options import AUTO, SOURCES, Artwork, Config, Options
from bigart.metadata import recipe as recipes
from bigart.metadata.measured import Measured

TEMPLATES = Path(__file__).parents[3] / "gallery"
#: What the page needs beside itself, in the folder ``_assets``.
ASSETS = (
    "page.css",
    "page.js",
    "theme.js",
    "openseadragon.min.js",
    "openseadragon.LICENSE.txt",
    "source-serif-4.woff2",
    "source-serif-4.LICENSE.txt",
)
#: Stages that are compared -> what people call their pictures.
STAGES_SHOWN: Mapping[str, str] = {
    "picture": "As it was",
    "upsampled": "256 px",
    "enlarged-1024": "1024 px",
    "textured-1024": "Textured",
    "detailed": "Detailed",
}
_SWEPT = "This artwork comes from the sweep {}: write `choose` into that row of the table."


@dataclass(frozen=True)
class Shown:
    """An artwork as the page shows it.

    Attributes:
        artwork: Its options.
        cells: Those of its row of the table, as text.
        candidates: Addresses of the candidates, relative to the page.
        size: Their width and height in pixels.
        agreement: Of each candidate with the prompt, where CLIP has compared them.
        best: The candidate that it has chosen; 0 where it has not.
        final: Facts of the final picture (see ``final_views.py``); nothing where there is none.
    """

    artwork: Artwork
    cells: list[str]
    candidates: list[str]
    size: tuple[int, int] = (0, 0)
    agreement: list[float] = field(default_factory=list)
    best: int = 0
    final: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The artwork's name."""
        return self.artwork.artwork

    @property
    def fixed(self) -> str:
        """Why its ``choose`` cannot be written, in words; empty where it can."""
        row = self.artwork.sweep
        return _SWEPT.format(row) if row else ""

    @property
    def chosen(self) -> int:
        """Which candidate is chosen; 0 where CLIP is still to choose."""
        return self.best if self.artwork.choose == AUTO else int(self.artwork.choose)

    @property
    def painted(self) -> int:
        """Which candidate its final picture shows; 0 without a final picture."""
        return int(recipes.find(self.final["recipe"], "candidate") or 0) if self.final else 0

    @property
    def card(self) -> tuple[str, int, int] | None:
        """Address, width and height of a small picture that stands for it, if there is one."""
        if self.final:
            return (f"{self.name}/final/card.jpg", *self.final["card"])
        if self.candidates:
            place = min(max(self.chosen, 1), len(self.candidates)) - 1
            return (self.candidates[place], *self.size)
        return None

    @property
    def large(self) -> tuple[str, int, int] | None:
        """The same of the largest picture that is shown whole."""
        if self.final:
            return (f"{self.name}/final/preview.jpg", *self.final["preview"])
        return self.card

    @property
    def options(self) -> dict[str, str]:
        """The options in words, but for the choice."""
        values = self.artwork.model_dump(include={*Options.model_fields, *SOURCES} - {"choose"})
        return {
            name.replace("_", " "): _in_words(value)
            for name, value in values.items()
            if value is not None
        }

    @property
    def for_script(self) -> str:
        """What the page's program needs to know of the final picture, as JSON."""
        if not self.final:
            return "null"
        stages = [{**stage, "title": title(stage["name"])} for stage in self.final["stages"]]
        known = {
            "width": self.final["width"],
            "height": self.final["height"],
            "dpi": recipes.find(self.final["recipe"], "dpi"),
            "stages": stages,
            "place": placement(self.final),
        }
        return json.dumps(known)


def shown(config: Config, folder: Path) -> tuple[list[str], list[Shown]]:
    """Return the columns of the table, and each artwork with what is there of it.

    Args:
        config: The config; its table is read.
        folder: The folder of the page.
    """
    table, _ = artworks.read(Path(config.table), config)
    columns, rows = artworks.cells(Path(config.table))
    found = []
    for name, artwork in table.items():
        facts = _json(folder / name / "candidates/facts.json")
        final = _json(folder / name / "final/facts.json")
        candidates = [f"{name}/candidates/{k}.jpg" for k in range(1, facts.get("count", 0) + 1)]
        row = rows.get(artwork.sweep or name, [])
        size = facts.get("width", 0), facts.get("height", 0)
        judged = facts.get("agreement", []), facts.get("chosen", 0)
        found.append(Shown(artwork, row, candidates, size, *judged, final))
    return columns, found


def digest(config: Config, table: Mapping[str, Artwork]) -> str:
    """Return a hash of what the page says that is in no picture: it is written again with another.

    Args:
        config: The config.
        table: The artworks.
    """
    said = [
        artworks.cells(Path(config.table)),
        [artwork.model_dump() for artwork in table.values()],
        [path.read_bytes().hex() for path in map(TEMPLATES.joinpath, ("page.html", *ASSETS))],
    ]
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()[:12]


def page(columns: list[str], found: Iterable[Shown], settings: Config) -> bytes:
    """Return the page (HTML, UTF-8)."""
    table = {"columns": columns, "table": settings.table}
    return _render("page.html", artworks=list(found), table=table, results=settings.results)


def recipe_page(artwork: str, facts: Mapping[str, Any]) -> bytes:
    """Return a page (HTML, UTF-8) of an artwork's recipe with time and memory of each stage.

    Args:
        artwork: Its name.
        facts: Of its final picture, as ``final_views.py`` writes them.
    """
    return _render("recipe.html", artwork=artwork, facts=facts)


def stages(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each stage of a recipe with its parameters, models, time and memory in words."""
    took = {each["stage"]: Measured(**each).shown() for each in facts["measured"]}
    found = []
    for stage in facts["recipe"]["stages"]:
        name = str(stage.get("stage", "unnamed stage"))
        parameters = {
            key.replace("_", " "): _in_words(value)
            for key, value in stage.items()
            if key not in ("stage", "models", "prompt", "negative_prompt", "artwork", "versions")
        }
        models = stage.get("models")
        found.append(
            {
                "name": name,
                "parameters": parameters,
                "models": models if isinstance(models, dict) else {},
                "took": took.get(name, {"time": "", "memory": ""}),
            }
        )
    return found


def print_size(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the size of a final picture in words: pixels, cm and inches, resolution.

    Where it says no resolution, the latter three are empty.
    """
    width, height = facts["width"], facts["height"]
    words = {"pixels": f"{width} × {height} px", "cm": "", "inches": "", "dpi": ""}
    if dpi := recipes.find(facts["recipe"], "dpi"):
        inches = width / dpi, height / dpi
        words["cm"] = " × ".join(f"{2.54 * length:.1f}" for length in inches) + " cm"
        words["inches"] = " × ".join(f"{length:.1f}" for length in inches) + " in"
        words["dpi"] = f"{dpi:g} dpi"
    return words


def placement(facts: Mapping[str, Any]) -> dict[str, float]:
    """Return where the final picture lies on the picture of a stage, whose width is 1.

    A print may be a part of it, with mirrored edges beyond.
    """
    found = [stage for stage in facts["recipe"]["stages"] if stage.get("stage") == "final"]
    record: dict[str, Any] = found[-1] if found else {}
    width, height = record.get("pixels") or (facts["width"], facts["height"])
    last = facts["stages"][-1] if facts["stages"] else {"width": width, "height": height}
    across, down = (float(part.rstrip("%")) / 100 for part in record.get("crop", "50% 50%").split())
    tall = last["height"] / last["width"]  # of the stage, its width being 1
    part = min(1, tall * width / height)  # of the stage's width
    scale = part / width
    return {
        "x": across - part / 2 - scale * (facts["width"] - width) / 2,
        "y": tall * down - scale * height / 2 - scale * (facts["height"] - height) / 2,
        "width": scale * facts["width"],
    }


def title(stage: str) -> str:
    """Return what people call the picture of a stage."""
    return STAGES_SHOWN.get(stage, stage)


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def _render(template: str, **values: Any) -> bytes:
    # a recipe may hold halves of surrogate pairs
    return _environment().get_template(template).render(values).encode(errors="replace")


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"stages_of": stages, "print_size": print_size, "title_of": title}
    return environment
