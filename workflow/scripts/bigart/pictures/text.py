"""Lines of text in any script, with fonts that pip installs: the same on every machine.

HarfBuzz shapes and draws, python-bidi orders what runs from right to left, uniseg knows where a
line may end. (Pillow's own text looks otherwise where the system has no FriBiDi.)
"""

import functools
import itertools
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

import manimgx_fonts  # type: ignore[import-untyped]
import noto_cjk_sans_otc  # type: ignore[import-untyped]
import regex
import uharfbuzz as hb  # type: ignore[import-untyped]
from bidi import algorithm as bidi  # type: ignore[import-untyped]
from PIL import Image
from uniseg.linebreak import line_break_units  # type: ignore[import-untyped]

_UNITS = 64  # of a font's coordinates in a pixel
EMOJI_FORM = "\ufe0f"  # asks for the emoji where a character is a symbol, too
_LONGEST = 4000  # characters: more than the head of a sheet has room for

# Han characters have one code point and several forms: the faces of the CJK font, and the letters
# that tell which one a text means.
JAPANESE, KOREAN, SIMPLIFIED, TRADITIONAL = range(4)
_TELLING = {
    JAPANESE: regex.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]"),  # kana
    KOREAN: regex.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]"),  # hangul
    TRADITIONAL: regex.compile("[\u3100-\u312f\u31a0-\u31bf]"),  # bopomofo
}


@dataclass(frozen=True)
class Line:
    """A line of text, in the order of reading, and what its paragraph tells about it.

    Attributes:
        text: Without controls, blanks collapsed.
        rtl: The paragraph runs from right to left.
        han: The face of the CJK font.
    """

    text: str
    rtl: bool
    han: int


@dataclass(frozen=True)
class _Run:
    """Text of one font, script and embedding level (odd: from right to left)."""

    text: str
    font: tuple[Path, int]
    script: str
    level: int


def line_of(text: str) -> Line:
    """Return a text as one line, without what cannot be drawn: controls and lone surrogates.

    Letters of mathematics, which no font here has, become plain ones.
    """
    kept = (c for c in " ".join(text.split()) if unicodedata.category(c) not in ("Cc", "Cs"))
    letters = regex.sub(
        "[\U0001d400-\U0001d7ff]",
        lambda found: unicodedata.normalize("NFKC", found[0]),
        "".join(itertools.islice(kept, _LONGEST)),
    )
    han = next((face for face, sign in _TELLING.items() if sign.search(letters)), SIMPLIFIED)
    return Line(letters, bidi.get_base_level(letters) == 1, han)


def wrap(text: str, size: int, width: float, max_lines: int) -> list[Line]:
    """Break text into lines of at most ``width`` pixels; an ellipsis ends a text that is cut.

    A line ends where Unicode's rules (UAX 14) let it; what is longer than a line is broken between
    any two characters (as readers see them).
    """
    whole = line_of(text)

    def fits(part: str) -> bool:
        return length(replace(whole, text=part.rstrip()), size) <= width

    lines: list[str] = []
    line = ""
    for unit in line_break_units(whole.text):
        for part in [unit] if fits(unit) else _clusters(unit):
            if line and not fits(line + part):
                lines.append(line.rstrip())
                line = ""
            line += part
        if len(lines) > max_lines:
            break
    lines += filter(None, [line.rstrip()])
    if len(lines) > max_lines:
        last = _clusters(lines[max_lines - 1])
        while last and not fits("".join(last) + "..."):
            last.pop()
        lines[max_lines - 1 :] = ["".join(last).rstrip(" ,.;") + "..."]
    return [replace(whole, text=line) for line in lines]


def length(line: Line, size: int) -> float:
    """Return the width of a line in pixels, at ``size`` pixels to the em."""
    return sum(advance for run in _runs(line) for _, _, _, advance in _shaped(run, size)) / _UNITS


def draw(
    sheet: Image.Image, x: float, baseline: int, line: Line, size: int, ink: tuple[int, int, int]
) -> None:
    """Draw a line on a sheet, from its left end ``x``."""
    raster = hb.RasterDraw()
    raster.scale_factor = (_UNITS, _UNITS)
    pen = x * _UNITS
    for run in _runs(line):
        font = _font(*run.font, size)
        for glyph, x_offset, y_offset, advance in _shaped(run, size):
            raster.transform = (1, 0, 0, 1, pen + x_offset, y_offset)
            raster.draw_glyph(font, glyph)
            pen += advance
    image = raster.render()
    box = image.extents
    if box.width and box.height:
        mask = Image.frombytes(
            "L", (box.width, box.height), image.buffer, "raw", "L", box.stride, -1
        )
        sheet.paste(ink, (box.x_origin, baseline - box.y_origin - box.height), mask)


@functools.lru_cache(maxsize=1024)
def _shaped(run: _Run, size: int) -> list[tuple[int, int, int, int]]:
    """Return (glyph, offset right, offset up, advance) from left to right."""
    buffer = hb.Buffer()
    buffer.add_str(run.text)
    buffer.script = run.script
    buffer.direction = "rtl" if run.level % 2 else "ltr"
    buffer.language = "und"  # HarfBuzz would take the system's
    hb.shape(_font(*run.font, size), buffer)
    return [
        (glyph.codepoint, place.x_offset, place.y_offset, place.x_advance)
        for glyph, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True)
    ]


def _clusters(text: str) -> list[str]:
    """Return the characters as readers see them: each with its accents, joiners and modifiers."""
    return regex.findall(r"\X", text)


def _runs(line: Line) -> list[_Run]:
    """Cut a line into runs, from left to right."""
    levels = _levels(line)
    clusters = _clusters(line.text)
    kinds = []
    script, start = "Zyyy", 0
    for cluster in clusters:
        script = _script(cluster) or script
        kinds.append((_font_for(cluster, line.han), script, levels[start]))
        start += len(cluster)
    parts = itertools.groupby(zip(clusters, kinds, strict=True), lambda part: part[1])
    runs = [_Run("".join(cluster for cluster, _ in part), *kind) for kind, part in parts]
    for level in range(max(levels, default=0), 0, -1):
        runs = _turned(runs, level)
    return runs


def _turned(runs: list[_Run], level: int) -> list[_Run]:
    """Turn round every sequence of runs of that level or a higher one (rule L2 of UAX 9)."""
    groups = itertools.groupby(runs, lambda run: run.level >= level)
    return [run for high, group in groups for run in ([*group][::-1] if high else group)]


def _levels(line: Line) -> list[int]:
    """Return the embedding level of each character (UAX 9).

    Joiners and direction marks have no level of their own: they get that of what they follow.
    """
    classes = [unicodedata.bidirectional(c) for c in line.text]
    dropped = {*bidi.X9_REMOVED, "LRI", "RLI", "FSI", "PDI"}
    storage = bidi.get_empty_storage()
    storage["base_level"], storage["base_dir"] = line.rtl, "LR"[line.rtl]
    storage["chars"] = [
        # a code point that Unicode has not assigned has no class
        {"type": kind or "L", "level": storage["base_level"]}
        for kind in classes
        if kind not in dropped
    ]
    bidi.calc_level_runs(storage)
    bidi.resolve_weak_types(storage)
    bidi.resolve_neutral_types(storage, debug=False)
    bidi.resolve_implicit_levels(storage, debug=False)
    found = iter(storage["chars"])
    levels = [int(line.rtl)]
    for kind in classes:
        levels.append(levels[-1] if kind in dropped else next(found)["level"])
    return levels[1:]


@functools.lru_cache(maxsize=4096)
def _script(cluster: str) -> str | None:
    """Return the ISO 15924 code of a character's script, None of one that many scripts share."""
    buffer = hb.Buffer()
    buffer.add_str(cluster)
    buffer.guess_segment_properties()
    return buffer.script


@functools.cache
def _fonts(han: int) -> list[tuple[Path, int]]:
    """Return (file, face) of every font, in the order in which they are asked for a character."""
    folder = Path(manimgx_fonts.__file__).parent
    scripts = sorted(folder.glob("NotoSans*.ttf"))
    first, last = (folder / f"{name}[wght].ttf" for name in ("NotoSans", "NotoSansSymbols"))
    others = [p for p in scripts if p not in (first, last) and "Italic" not in p.name]
    return [
        *((path, 0) for path in (first, *others, last)),
        (Path(noto_cjk_sans_otc.FONT_PATH), han),
        (folder / "NotoEmoji[wght].ttf", 0),
    ]


@functools.lru_cache(maxsize=4096)
def _font_for(cluster: str, han: int) -> tuple[Path, int]:
    """Return the first font that has a cluster, or at least the character that it begins with.

    A character that no font has is drawn as a box.
    """
    fonts = _fonts(han)
    if EMOJI_FORM in cluster:
        fonts = [fonts[-1], *fonts]
    needed = [c for c in cluster if not _invisible(c)]
    for letters in (needed, needed[:1]):
        for font in fonts:
            if all(_font(*font, 1).get_nominal_glyph(ord(c)) for c in letters):
                return font
    return fonts[0]


def _invisible(letter: str) -> bool:
    """Tell whether HarfBuzz leaves a character away where the font lacks it."""
    return unicodedata.category(letter) == "Cf" or unicodedata.name(letter, "").startswith(
        "VARIATION SELECTOR"
    )


@functools.cache
def _font(path: Path, face: int, size: int) -> hb.Font:
    font = hb.Font(hb.Face(hb.Blob.from_file_path(path), face))
    font.scale = (size * _UNITS, size * _UNITS)
    return font
