"""A procedural painter: scenes from a caption grammar, painted at any size.

Layers, from the bottom: colours, canvas, scene, outdoors, one module for each group of families,
families.
"""

from painter.families import FAMILIES, caption, is_held_out, paint, sample_scene
from painter.scene import Family, Scene

__all__ = ["FAMILIES", "Family", "Scene", "caption", "is_held_out", "paint", "sample_scene"]
