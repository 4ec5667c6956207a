"""The recipe: a record in each picture file of how the picture was made.

A recipe is plain JSON:

    {"bigart": "0.1.0",
     "stages": [{"stage": "thumbnails", "prompt": "...", "seed": 42, "candidate": 3, ...,
                 "models": {"glide-base.safetensors": "<sha256>"}},
                {"stage": "upsampled", ...}, ...],
     "versions": {"python": "3.11.7", "torch": "2.5.1", ...}}

Every stage reads the recipe of its input and appends its own record, so the last file has all of
them. A recipe holds no dates: the same inputs give the same bytes.

In a PNG it is an iTXt chunk named ``bigart:recipe``. In every format it is also part of an XMP
packet (Adobe's XMP specification, ISO 16684-1), which catalogues and image editors read. The packet
has the prompt as description, IPTC's marker for pictures made by a trained model, and IPTC's fields
for prompt and system (Photo Metadata Standard 2025.1).
"""

import contextlib
import json
import platform
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib import metadata
from typing import Any
from xml.sax.saxutils import escape

from bigart import __version__

Recipe = dict[str, Any]

CHUNK = "bigart:recipe"
NAMESPACE = "urn:big-art:recipe:1.0#"
JPEG_ROOM = 65_000  # bytes of XMP: one segment has 65,533 with its name
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
# "Created using a generative model"
SOURCE_TYPE = f"{_SOURCE_TYPES}trainedAlgorithmicMedia"

# Characters that XML 1.0 forbids, also escaped: most controls, lone surrogates, U+FFFE/F.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def start() -> Recipe:
    """Return a recipe without stages, with the versions of the programs running now."""
    return {"bigart": __version__, "stages": [], "versions": versions()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the main packages that compute pixels, unimported.

    The environments of some stages have no torch.
    """
    found = {"python": platform.python_version()}
    for package in ("torch", "numpy", "pillow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def extend(recipe: Recipe, stage: str, **record: Any) -> Recipe:
    """Return a copy of ``recipe`` with one more stage.

    Its record has the versions that differ from those that the recipe began with.

    Args:
        recipe: The recipe of the stage's input, or ``start()``.
        stage: The stage's name.
        record: The stage's parameters, as JSON values. ``models`` maps the file name of each
            network to its SHA-256. Paths, dates and host names do not belong here.
    """
    entry: dict[str, Any] = {"stage": stage, **record}
    known = {"bigart": recipe.get("bigart"), **recipe.get("versions", {})}
    current = {"bigart": __version__, **versions()}
    changed = {name: version for name, version in current.items() if known.get(name) != version}
    if changed:
        entry["versions"] = changed
    return {**recipe, "stages": [*recipe["stages"], entry]}


def find(recipe: Recipe, name: str) -> Any:
    """Return the value of ``name`` in the latest stage that recorded it, or None."""
    return next((stage[name] for stage in reversed(recipe["stages"]) if name in stage), None)


def candidate(recipe: Recipe, choose: int | str) -> int:
    """Return which candidate a picture is made from: ``choose``, or of "auto" the recorded one.

    A picture that a person has put there may tell none: it counts as the first.
    """
    if choose != "auto":
        return int(choose)
    found = find(recipe, "candidate")
    return found if isinstance(found, int) and found > 0 else 1


def agreement(recipe: Recipe, count: int) -> list[float]:
    """Return how well CLIP found each of ``count`` candidates to agree with the prompt.

    Nothing where it was not asked, or was asked about others.
    """
    found = find(recipe, "agreement")
    known = isinstance(found, list) and len(found) == count
    return found if known and all(isinstance(each, int | float) for each in found) else []


def source_type(recipe: Recipe) -> str:
    """Return IPTC's term for how a picture came about.

    One that a model painted over, or gave new detail, is a composite; one that was enlarged alone
    is enhanced.
    """
    if find(recipe, "picture") is None:
        return SOURCE_TYPE
    painted = any(stage["stage"] == "detailed" or stage.get("prompt") for stage in recipe["stages"])
    name = "compositeWithTrainedAlgorithmicMedia" if painted else "algorithmicallyEnhanced"
    return f"{_SOURCE_TYPES}{name}"


def to_json(recipe: Recipe) -> str:
    r"""Return the recipe as one line of JSON that is valid in UTF-8 and XML.

    Characters that XML forbids become ``\uXXXX``; all others stay as they are.

    Raises:
        ValueError: A value is NaN or infinite.
    """
    text = json.dumps(recipe, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _NOT_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def from_json(text: str) -> Recipe:
    """Parse what ``to_json`` wrote.

    Raises:
        ValueError: It is not JSON, or not a recipe.
        RecursionError: It is nested too deeply.
    """
    recipe = json.loads(text)
    stages = recipe.get("stages") if isinstance(recipe, dict) else None
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise ValueError("it lists no stages")
    return dict(recipe)


def to_xmp(recipe: Recipe, *, of_ai: bool = True) -> bytes:
    """Return the XMP packet (UTF-8) with the recipe.

    Its title is the artwork's name, if a stage recorded ``artwork``. Its description is the prompt,
    with U+FFFD for characters that XML forbids (the recipe has them).

    Args:
        recipe: The recipe.
        of_ai: With IPTC's fields for the prompt and the system. Files of older versions are
            without, and so is a JPEG that has no room for them.
    """
    properties = [
        _alternative("dc:title", find(recipe, "artwork")),
        _alternative("dc:description", find(recipe, "prompt") or find(recipe, "description")),
        f"<xmp:CreatorTool>BIG.art {_text(_written_by(recipe))}</xmp:CreatorTool>",
        f"<Iptc4xmpExt:DigitalSourceType>{source_type(recipe)}</Iptc4xmpExt:DigitalSourceType>",
        *(_of_ai(recipe) if of_ai else []),
        f"<bigart:recipe>{_text(to_json(recipe))}</bigart:recipe>",
    ]
    lines = "\n".join(f"   {line}" for line in properties if line)
    packet = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:bigart="{NAMESPACE}">
{lines}
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
    return packet.encode()


def _written_by(recipe: Recipe) -> str:
    """Return the version that recorded the last stage."""
    changed = recipe["stages"][-1].get("versions") if recipe["stages"] else None
    changed = changed if isinstance(changed, dict) else {}
    return str(changed.get("bigart", recipe.get("bigart", __version__)))


def _of_ai(recipe: Recipe) -> Iterator[str]:
    prompt, negative = find(recipe, "prompt"), find(recipe, "negative_prompt")
    records = (stage.get("models") for stage in recipe["stages"])
    files = [name for record in records if isinstance(record, dict) for name in record]
    models = ", ".join(dict.fromkeys(str(name).removesuffix(".safetensors") for name in files))
    fields = {
        "AIPromptInformation": f"{prompt}\nNegative prompt: {negative}" if negative else prompt,
        "AISystemUsed": f"BIG.art ({models})" if models else "BIG.art",
        "AISystemVersionUsed": recipe.get("bigart"),
    }
    for name, value in fields.items():
        if value:
            yield f"<Iptc4xmpExt:{name}>{_text(str(value))}</Iptc4xmpExt:{name}>"


def _alternative(name: str, text: str | None) -> str:
    if not text:
        return ""
    item = f'<rdf:li xml:lang="x-default">{_text(text)}</rdf:li>'
    return f"<{name}><rdf:Alt>{item}</rdf:Alt></{name}>"


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#13;"})


def from_xmp(packet: bytes) -> Recipe | None:
    """Return the recipe in an XMP packet, or None.

    Editors that rewrite the packet may turn the element into an attribute; both are read.

    Raises:
        ValueError: The packet or the recipe in it is damaged.
    """
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        raise ValueError("XMP with a document type is not read")
    try:
        root = ET.fromstring(packet.rstrip(b"\0 \r\n\t"))
    except ET.ParseError as error:
        raise ValueError(f"its XMP is damaged: {error}") from None
    name = f"{{{NAMESPACE}}}recipe"
    for element in root.iter():
        text = element.text if element.tag == name else element.get(name)
        if text:
            return from_json(text)
    return None


def describe(recipe: Recipe) -> str:
    """Return the recipe as text: one block for each stage, one line for each parameter."""
    lines = [f"BIG.art {recipe.get('bigart', '(unknown version)')}"]
    lines += _lines({"versions": recipe.get("versions")})
    for number, stage in enumerate(recipe["stages"], 1):
        lines += ["", f"{number}. {_printable(stage.get('stage', 'unnamed stage'))}"]
        lines += _lines({name: value for name, value in stage.items() if name != "stage"})
    return "\n".join(lines)


def _lines(record: dict[str, Any]) -> Iterator[str]:
    for name, value in record.items():
        if name == "models" and isinstance(value, dict):
            yield "   models"
            for file, digest in value.items():
                yield f"     {_printable(file)}  sha256 {_printable(digest)}"
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        if value is not None:
            yield f"   {_printable(name):<20} {_printable(value)}"


def _printable(value: Any) -> str:
    """Escape control characters: a prompt must not control the terminal."""
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))
