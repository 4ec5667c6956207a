"""What other programs read from our pictures: the text `parameters`, and IPTC's fields.

Three readers' rules are written down here: those of AUTOMATIC1111's web UI, infinite-image-browsing
and SD Prompt Reader.
"""

import io
import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from bigart.config.plain_text import plain
from bigart.metadata import made, parameters, picture_file, recipe
from bigart.pictures import images
from projects import ROOT

OLDER = ROOT / "tests/data/older"
PICTURE = np.full((8, 10, 3), 100, np.uint8)
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def painted(prompt: str = "a lake", negative: str = "", **record: object) -> recipe.Recipe:
    values = {
        "prompt": prompt,
        "negative_prompt": negative,
        "seed": 7,
        "candidate": 3,
        "steps": 400,
        "sampler": "ancestral",
        "guidance": 2.0,
        "models": {"glide-base.safetensors": "0a1b2c3d4e5f" + "0" * 52},
        **record,
    }
    first = recipe.extend(recipe.start(), "thumbnails", artwork="lake", **values)
    second = {"upsampler.safetensors": "cd" * 32}
    return recipe.extend(first, "upsampled", steps="fast27", models=second)


class Read(NamedTuple):
    prompt: str
    negative: str
    settings: dict[str, str]


def web_ui(text: str, key: str = r"\w[\w /-]+") -> Read:
    """As AUTOMATIC1111's web UI does: the last line is settings if it has three."""
    pair = re.compile(rf'\s*({key}):\s*("(?:[^"\\]|\\.)+"|[^,]*)(?:$|,)')
    *lines, last = text.strip().split("\n")
    settings = dict(pair.findall(last))
    if len(pair.findall(last)) < 3:
        lines, settings = [*lines, last], {}
    parts: tuple[list[str], list[str]] = ([], [])
    negative = False
    for line in map(str.strip, lines):
        negative = negative or line.startswith("Negative prompt:")
        parts[negative].append(line.removeprefix("Negative prompt:").strip())
    return Read("\n".join(parts[0]), "\n".join(parts[1]), settings)


def image_browsing(text: str) -> Read:
    """As infinite-image-browsing does: other keys, and a line alone may be an enlargement."""
    text += ", Source Identifier: Stable Diffusion web UI"
    *lines, _ = text.strip().split("\n")
    if len(lines) == 1 and lines[0].startswith("Postprocess"):
        return Read("", "", {})
    return web_ui(text, key=r"[\w ]+")


def prompt_reader(text: str, json_begins_with: str = "{") -> Read:
    """As SD Prompt Reader does: it looks for two lines, and for one of their names anywhere."""
    assert not text.startswith(json_begins_with)
    steps = text.index("\nSteps:")
    end, negative = steps, ""
    if "Negative prompt:" in text:
        end = text.index("\nNegative prompt:")
        negative = text[end + len("\nNegative prompt:") : steps].strip()
    pairs = (pair.partition(":") for pair in text[steps:].split(","))
    settings = {name.strip(): value.strip() for name, _, value in pairs}
    return Read(text[:end].strip(), negative, settings)


READERS = [web_ui, image_browsing, prompt_reader]
SETTINGS = {
    "Steps": "400",
    "Sampler": "DDPM",
    "CFG scale": "2",
    "Seed": "7",
    "Size": "10x8",
    "Model hash": "0a1b2c3d4e",
    "Model": "glide-base",
    "Version": f"BIG.art {recipe.start()['bigart']}",
}


def seen(text: str) -> str:
    """What a person sees of a prompt, and the models read."""
    return plain(re.sub("[\ud800-\udfff]", "\ufffd", re.sub(r"[\0-\x1f\x7f-\x9f]", " ", text)))


TRAPS = [
    "Negative prompt: a lake",
    "a lake, negative Prompt: Negative prompt: dark",
    "Steps: 20, Sampler: Euler, Seed: 1, Size: 1x1",
    "a: b, cc: d, ee: f, gg: h",
    "{a lake|a sea}",
    '{"prompt": "a lake"}',
    "Postprocess upscale by: 4, Postprocess upscaler: none",
    "Template: x\nNegative prompt: y\nSteps: 1, Seed: 2, Size: 3x4",
    "a lake\r\n\u2028\u2029\x85Negative prompt: z",
    "\ud800\x00\x1b[31m 山水 🎨 é \u00a0",
    "\u200b{a",
    'commas, "quotes": and, colons: all',
]
some_text = st.text(st.characters(exclude_categories=())) | st.lists(
    st.sampled_from(
        ["Negative prompt:", "Steps:", "\n", " ", "{", "a: b,", "Postprocess", "Size: 1x2"]
    )
).map("".join)


@pytest.mark.parametrize("prompt", ["a painting of a sunset over a lake", *TRAPS])
def test_every_reader_reads_prompts_and_settings(prompt):
    for negative, reader in itertools.product(["", "dark, blurry", *TRAPS], READERS):
        read = reader(parameters.text(painted(prompt, negative), (10, 8)))
        assert (seen(read.prompt), seen(read.negative)) == (seen(prompt), seen(negative))
        assert SETTINGS.items() <= read.settings.items()


@given(some_text.filter(bool), some_text)
@example("\x1f", "\u2028")
def test_every_reader_reads_any_prompt(prompt, negative):
    text = parameters.text(painted(prompt, negative), (10, 8))
    for reader in READERS:
        read = reader(text)
        assert (seen(read.prompt), seen(read.negative)) == (seen(prompt), seen(negative))
        assert SETTINGS.items() <= read.settings.items()


def test_an_ordinary_prompt_is_there_as_it_stands():
    text = parameters.text(painted("a lake: 'é', (oil:1.2)", "dark"), (4096, 4096))
    assert text.startswith("a lake: 'é', (oil:1.2)\nNegative prompt: dark\nSteps: 400, Sampler: ")
    assert "Negative prompt" not in parameters.text(painted(), (1, 1))
    assert parameters.text(recipe.extend(recipe.start(), "enlarged"), (1, 1)) == ""


def test_what_clip_alone_guides_says_nothing_of_the_other_guidance():
    alone, both = (
        web_ui(parameters.text(painted(negative="fog", guide=guide), (8, 8)))
        for guide in ("clip", "both")
    )
    assert (alone.negative, "CFG scale" in alone.settings) == ("", False)
    assert (both.negative, both.settings["CFG scale"]) == ("fog", "2")


def test_values_do_not_break_the_line():
    odd = painted(
        models={'a, "b": c\n.safetensors': "f" * 64}, sampler="x, y: z", guidance=0.1 + 0.2
    )
    for reader in READERS:
        settings = reader(parameters.text(odd, (1, 1))).settings
        assert (settings["Model"], settings["Sampler"]) == ("a_ _b__ c", "x_ y_ z")
        assert (settings["CFG scale"], settings["Size"]) == ("0.3", "1x1")


def written(tmp_path: Path, suffix: str, record: recipe.Recipe) -> Path:
    path = tmp_path / f"picture{suffix}"
    picture_file.write_picture(path, PICTURE, record, dpi=300)
    return path


def comment(content: bytes) -> str:
    """The text of Exif's UserComment: read by its type, since readers do so, too."""
    exif = Image.open(io.BytesIO(content)).info["exif"]
    entry = exif.index(b"\x92\x86\0\x07")  # tag 0x9286, type UNDEFINED
    count, place = (int.from_bytes(exif[entry + at : entry + at + 4]) for at in (4, 8))
    value = exif[6 + place : 6 + place + count]
    assert value.startswith(b"UNICODE\0")
    return value[8:].decode("utf-16-be")


@pytest.mark.parametrize("prompt", ["a lake", "a lake é", "山水 🎨"])
def test_png_and_jpeg_carry_the_text_where_readers_look(tmp_path, prompt):
    expected = parameters.text(painted(prompt), (10, 8))
    png = written(tmp_path, ".png", painted(prompt))
    info = Image.open(png).info
    assert info["parameters"] == expected
    assert (b"tEXtparameters\0" in png.read_bytes()) == expected.isascii() or "é" in prompt
    # these mean other programs
    assert not {"prompt", "workflow", "Comment", "Software", "Description"} & info.keys()
    jpeg = written(tmp_path, ".jpg", painted(prompt))
    assert comment(jpeg.read_bytes()) == expected
    exif = Image.open(jpeg).getexif()
    assert (exif[0x0131], exif[0x011A]) == (f"BIG.art {recipe.start()['bigart']}", 300)
    own = exif.get_ifd(0x8769)
    assert (own[0xA001], own[0xA002], own[0xA003], own[0x9000]) == (1, 10, 8, b"0232")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_iptcs_fields_are_in_every_format(tmp_path, suffix):
    path = written(tmp_path, suffix, painted("a <lake> & é", "dark\x07"))
    with Image.open(path) as image:
        packet = image.info["xmp"]
    root = ET.fromstring(packet.decode() if isinstance(packet, bytes) else packet)
    found = {element.tag.removeprefix(IPTC): element.text for element in root.iter()}
    assert found["AIPromptInformation"] == "a <lake> & é\nNegative prompt: dark\ufffd"
    assert found["AISystemUsed"] == "BIG.art (glide-base, upsampler)"
    assert found["AISystemVersionUsed"] == recipe.start()["bigart"]
    assert found["DigitalSourceType"].endswith("trainedAlgorithmicMedia")


@pytest.mark.parametrize("letter", ["a", "é", "山", "🎨"])
def test_a_jpeg_with_little_room_leaves_out_what_the_recipe_has(tmp_path, letter):
    """A prompt of 10,000 characters in any script: what fitted before, fits now."""
    long = painted(letter * (10_000 if letter != "🎨" else 7_000))
    path = written(tmp_path, ".jpg", long)
    assert picture_file.read_recipe(path) == long
    made.end(tmp_path, [path.name], failed=False)
    (tmp_path / made.RECORD).unlink()
    assert made.replaced(tmp_path, [path.name]) == []  # found to be the workflow's by its recipe
    if letter != "🎨":
        assert comment(path.read_bytes()) == parameters.text(long, (10, 8))


# Files of older versions


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_an_older_file_is_read_and_known(tmp_path, suffix):
    path = OLDER / f"picture.{suffix}"
    assert parameters.generation(picture_file.read_recipe(path))["seed"] == 7
    (tmp_path / path.name).write_bytes(path.read_bytes())
    assert made.replaced(tmp_path, [path.name]) == []


def test_pixels_of_an_older_file_are_copied_into_one_that_carries_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "__version__", "9.9.9")
    source, out, anew = OLDER / "picture.png", tmp_path / "final.png", tmp_path / "anew.png"
    final = recipe.extend(picture_file.read_recipe(source), "final", dpi=300)
    assert picture_file.copy_pixels(source, out, final, 300)
    picture_file.write_picture(anew, images.read_rgb(source), final, 300)
    assert out.read_bytes() == anew.read_bytes()
    assert Image.open(out).info["parameters"].startswith("a painting of a lake, 'é'\nSteps: 60,")
    # and once more, in the version after this one
    monkeypatch.setattr(recipe, "__version__", "9.9.10")
    assert not picture_file.copy_pixels(out, tmp_path / "b.png", final, 300)  # it has a resolution
    plain_one = tmp_path / "plain.png"
    picture_file.write_picture(plain_one, images.read_rgb(source), final)
    assert picture_file.copy_pixels(plain_one, tmp_path / "b.png", final, 300)
