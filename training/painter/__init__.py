"""A procedural painter: scenes from a caption grammar, painted at any size."""

from painter.families import FAMILIES, is_held_out, paint, sample_scene
from painter.scene import Family, Scene

__all__ = ["FAMILIES", "Family", "Scene", "is_held_out", "paint", "sample_scene"]
