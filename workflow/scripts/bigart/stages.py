"""The stages of the pipeline, each declared once; nothing here imports torch.

Rules, the comparison of the engines, tests and the table in docs/paint.md take from here what they
need to know of a stage.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    Attributes:
        name: As recipes and ``snakemake verify`` call it. Its rule has ``_`` in place of ``-``.
        command: Its command in workflow/scripts.
        file: What it writes, under results/<artwork>/; ``{candidate}`` and ``{format}`` are
            filled in.
        size: Of the pictures, for people.
        purpose: What happens, for people.
        options: Flag of the command -> the option of the config that it passes on.
        role: The model file of the set that it reads, if it runs a network.
        architecture: Of that network.
        before: The stage whose picture the network starts from.
        file_bytes: What one of its files takes, in bytes, as measured with the embedded models.
        mem_mb: At least twice the memory that it was measured to take, in MB (docs/speed.md).
        runtime: Its time limit in minutes, at least twice the longest that was measured.
        upstream_mem_mb: ``mem_mb`` with ``engine: upstream``, where that needs more.
        upstream_runtime: ``runtime`` with ``engine: upstream``, where that needs more.
        environment: The file in envs/ with its packages (engine: native), where it needs others
            than its architecture.
    """

    name: str
    command: str
    file: str
    size: str
    purpose: str
    options: Mapping[str, str] = field(default_factory=dict)
    role: str = ""
    architecture: str = ""
    before: str | None = None
    file_bytes: int = 0
    mem_mb: int = 1000
    runtime: int = 10
    upstream_mem_mb: int = 0
    upstream_runtime: int = 0
    environment: str = ""

    @property
    def rule(self) -> str:
        """The name of its rule."""
        return self.name.replace("-", "_")

    @property
    def log(self) -> str:
        """The name of its log under results/<artwork>/log/, without the suffix."""
        name = self.file.partition("/")[0]
        return name.replace(".{format}", "-{format}").removesuffix(".png")


_GRAIN = {"--seed": "seed", "--candidate": "choose"}

ALL = (
    Stage(
        name="thumbnails",
        command="thumbnails.py",
        file="1-thumbnails/{candidate}.png",
        size="64 x 64",
        purpose="GLIDE paints the prompt seven times, each from noise of its own",
        options={
            "--prompt": "prompt",
            "--negative-prompt": "negative_prompt",
            "--seed": "seed",
            "--steps": "steps",
            "--sampler": "sampler",
            "--guidance": "guidance",
            "--guidance-interval": "guidance_interval",
        },
        role="base",
        architecture="glide",
        file_bytes=11_000,
        mem_mb=8000,
        runtime=180,
        upstream_runtime=300,
    ),
    Stage(
        name="upsampled",
        command="upsample.py",
        file="2-upsampled/{candidate}.png",
        size="256 x 256",
        purpose="GLIDE's upsampler paints them larger, reading the prompt again",
        options={
            "--prompt": "prompt",
            "--seed": "seed",
            "--steps": "upsample_steps",
            "--temperature": "upsample_temp",
            "--upsample-guidance": "upsample_guidance",
            "--upsample-negative-prompt": "upsample_negative_prompt",
        },
        role="upsampler",
        architecture="glide",
        before="thumbnails",
        file_bytes=120_000,
        mem_mb=8000,
        upstream_mem_mb=12000,
        runtime=60,
        upstream_runtime=140,
    ),
    Stage(
        name="contact-sheet",
        command="contact_sheet.py",
        file="candidates.png",
        size="",
        purpose="the seven side by side with their numbers",
        options={"--prompt": "prompt", "--seed": "seed"},
        file_bytes=900_000,
        mem_mb=500,
    ),
    Stage(
        name="enlarged-1024",
        command="enlarge.py",
        file="3-enlarged-1024.png",
        size="1024 x 1024",
        purpose="the chosen one, four times larger (BSRGAN)",
        role="enlarger",
        architecture="rrdbnet",
        before="upsampled",
        file_bytes=1_200_000,
        mem_mb=4000,
        runtime=15,
    ),
    Stage(
        name="textured-1024",
        command="texture.py",
        file="4-textured-1024.png",
        size="1024 x 1024",
        purpose="grey grain is added, for the next stage to work with",
        options={"--amount": "texture_amount", "--size": "texture_size", **_GRAIN},
        file_bytes=1_800_000,
        mem_mb=500,
    ),
    Stage(
        name="detailed",
        command="detail.py",
        file="5-detailed-1024.png",
        size="1024 x 1024",
        purpose="a VQGAN invents fine detail (left out where `detail` is false)",
        role="detailer",
        architecture="vqgan",
        before="enlarged-1024",
        file_bytes=1_400_000,
        mem_mb=5000,
        upstream_mem_mb=7000,
        runtime=15,
    ),
    Stage(
        name="enlarged-4096",
        command="enlarge.py",
        file="6-enlarged-4096.png",
        size="4096 x 4096",
        purpose="four times larger again, without seams",
        role="enlarger",
        architecture="rrdbnet",
        before="detailed",
        file_bytes=13_500_000,
        mem_mb=4000,
        upstream_mem_mb=30000,
        runtime=30,
    ),
    Stage(
        name="textured-4096",
        command="texture.py",
        file="7-textured-4096.png",
        size="4096 x 4096",
        purpose="fine coloured grain, for the print",
        options={"--amount": "final_texture_amount", "--size": "final_texture_size", **_GRAIN},
        file_bytes=28_500_000,
    ),
    Stage(
        name="final",
        command="finish.py",
        file="final.{format}",
        size="4096 x 4096",
        purpose="the same picture with 300 DPI, sRGB and its recipe in the file",
        options={"--dpi": "dpi", "--quality": "jpeg_quality"},
        file_bytes=28_500_000,
    ),
)

#: Those that the plain run leaves out, or that only some artworks need. Limits that grow with the
#: size of a print are in config/prints.py.
ASIDE = (
    Stage(
        name="picture",
        command="take_picture.py",
        file="0-picture.png",
        size="as it is",
        purpose="where `picture` names one: upright, in sRGB, without the camera's notes",
        file_bytes=25_000_000,
        mem_mb=3000,
    ),
    Stage(
        name="thumbnails-picture",
        command="thumbnails_picture.py",
        file="1-thumbnails/{candidate}.png",
        size="64 x 64",
        purpose="the same where `strength` says how strongly that picture is painted over",
        options={**ALL[0].options, "--strength": "strength"},
        role="base",
        architecture="glide",
        file_bytes=11_000,
        mem_mb=8000,
        runtime=180,
        upstream_runtime=300,
    ),
    Stage(
        name="thumbnails-clip",
        command="thumbnails_clip.py",
        file="1-thumbnails/{candidate}.png",
        size="64 x 64",
        purpose="the same where `guide` is `clip` or `both`: CLIP pulls at each step",
        options={**ALL[0].options, "--guide": "guide", "--clip-scale": "clip_scale"},
        role="base",
        architecture="glide",
        file_bytes=11_000,
        mem_mb=9500,
        runtime=300,
        upstream_runtime=500,
        environment="clip.yaml",
    ),
    Stage(
        name="chosen",
        command="judge.py",
        file="2-chosen.png",
        size="256 x 256",
        purpose="where `choose` is `auto`, the one that agrees best with the prompt (CLIP)",
        options={"--prompt": "prompt"},
        role="clip_image",
        architecture="clip-image",
        before="thumbnails",
        file_bytes=120_000,
        mem_mb=2500,
        environment="clip.yaml",
    ),
    Stage(
        name="thumbnails-repaint",
        command="thumbnails_repaint.py",
        file="1-thumbnails/{candidate}.png",
        size="64 x 64",
        purpose="the same where `repaint` names a picture: what is black in `mask` is kept",
        options={
            **ALL[0].options,
            "--repaint": "repaint",
            "--bleed": "bleed",
            "--dpi": "dpi",
        },
        role="base",
        architecture="glide",
        file_bytes=11_000,
        mem_mb=9000,
        runtime=600,
    ),
    Stage(
        name="upsampled-repaint",
        command="upsample_repaint.py",
        file="2-upsampled/{candidate}.png",
        size="256 x 256",
        purpose="these larger, with the same picture and mask",
        options={**ALL[1].options, "--bleed": "bleed", "--dpi": "dpi"},
        role="upsampler",
        architecture="glide",
        before="thumbnails",
        file_bytes=120_000,
        mem_mb=9000,
        runtime=120,
    ),
    Stage(
        name="picture-1024",
        command="enlarge_picture.py",
        file="3-enlarged-1024.png",
        size="1024 at most",
        purpose="that picture, where nothing paints over it and `detail` is `true`",
        role="enlarger",
        architecture="rrdbnet",
        file_bytes=1_200_000,
        mem_mb=5000,
        runtime=30,
    ),
    Stage(
        name="enlarged-picture",
        command="enlarge_picture.py",
        file="6-enlarged-4096.png",
        size="4096 at most, or as `size` says",
        purpose="that picture in its shape, enlarged or made smaller, with detail or without",
        options={"--prompt": "prompt", "--size": "size", "--dpi": "dpi", "--crop": "crop"},
        role="enlarger",
        architecture="rrdbnet",
    ),
    Stage(
        name="enlarged-print",
        command="enlarge_print.py",
        file="8-enlarged-print.png",
        size="up to 16384 x 16384",
        purpose="larger again, once or twice, where `size` asks for more pixels",
        options={"--size": "size", "--dpi": "dpi"},
        role="enlarger",
        architecture="rrdbnet",
    ),
    Stage(
        name="final-print",
        command="finish_print.py",
        file="final.{format}",
        size="as `size` says",
        purpose="cropped, exactly as large as `size`, with grain, `bleed` and `profile`",
        options={
            "--size": "size",
            "--dpi": "dpi",
            "--crop": "crop",
            "--bleed": "bleed",
            "--profile": "profile",
            "--quality": "jpeg_quality",
            "--amount": "final_texture_amount",
            "--texture-size": "final_texture_size",
            **_GRAIN,
        },
    ),
    Stage(
        name="final-repaint",
        command="finish_print.py",
        file="final.{format}",
        size="as that of `repaint`",
        purpose="laid over the picture of `repaint` where `mask` is white",
        options={
            "--size": "size",
            "--dpi": "dpi",
            "--crop": "crop",
            "--bleed": "bleed",
            "--profile": "profile",
            "--quality": "jpeg_quality",
            "--amount": "final_texture_amount",
            "--texture-size": "final_texture_size",
            **_GRAIN,
        },
    ),
    Stage(
        name="proof",
        command="proof.py",
        file="proof.pdf",
        size="A4",
        purpose="`snakemake proofs`: picture, recipe, parts in their printed size, bleed to scale",
        options={"--prompt": "prompt", "--dpi": "dpi", "--bleed": "bleed"},
        file_bytes=9_000_000,
        mem_mb=3500,
    ),
    Stage(
        name="preview",
        command="preview.py",
        file="preview.jpg",
        size="1500 x 1500",
        purpose="a smaller JPEG, for screens and the report",
        file_bytes=800_000,
    ),
)

#: Name -> stage, in the order of a run.
STAGES: Mapping[str, Stage] = {stage.name: stage for stage in (*ALL, *ASIDE)}

#: Those that run a network, as the comparison of the engines takes them.
NETWORK_STAGES: Mapping[str, Stage] = {stage.name: stage for stage in ALL if stage.role}

#: Those that the comparison of the engines runs; the last one where a set has CLIP.
COMPARED: Mapping[str, Stage] = {**NETWORK_STAGES, "chosen": STAGES["chosen"]}

#: Stages that write the files of another one, each those of artworks of its own -> that one.
INSTEAD: Mapping[str, str] = {
    stage.name: first.name for stage in ASIDE for first in ALL if first.file == stage.file
}

_FILES = {
    name: re.compile(
        re.escape(stage.file).replace(r"\{candidate\}", r"\d+").replace(r"\{format\}", r"\w+")
    )
    for name, stage in STAGES.items()
}


def of_file(path: str) -> Stage | None:
    """Return the stage that writes a file of this path, or None where none does."""
    parts = path.split("/")
    tails = (parts[-1], "/".join(parts[-2:]))
    found = (name for name, file in _FILES.items() if any(map(file.fullmatch, tails)))
    return next((STAGES[name] for name in found), None)


def table() -> str:
    """Return the stages as the Markdown table of docs/paint.md."""
    lines = ["| file | size | stage | what happens |", "| --- | --- | --- | --- |"]
    for stage in STAGES.values():
        file = stage.file.replace("{candidate}", "1").replace("{format}", "png")
        if "{candidate}" in stage.file:
            shown = f"`{file}` to `7.png`"
        elif "{format}" in stage.file:
            shown = f"`{file}`, `.jpg` or `.tif`"
        else:
            shown = f"`{file}`"
        lines.append(f"| {shown} | {stage.size} | `{stage.rule}` | {stage.purpose} |")
    return "\n".join(lines) + "\n"
