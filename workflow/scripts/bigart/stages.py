"""The stages that run a network, as the comparison of the engines takes them.

Nothing here imports torch: the workflow asks too.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkStage:
    """A stage that runs a network.

    Attributes:
        role: Which model file of the set it reads.
        architecture: Its network's.
        before: The stage whose picture it starts from, or None.
    """

    role: str
    architecture: str
    before: str | None


#: In the order of a run; ``verification`` has what is computed in each.
STAGES = {
    "thumbnails": NetworkStage("base", "glide", None),
    "upsampled": NetworkStage("upsampler", "glide", "thumbnails"),
    "enlarged-1024": NetworkStage("enlarger", "rrdbnet", "upsampled"),
    "detailed": NetworkStage("detailer", "vqgan", "enlarged-1024"),
    "enlarged-4096": NetworkStage("enlarger", "rrdbnet", "detailed"),
}
