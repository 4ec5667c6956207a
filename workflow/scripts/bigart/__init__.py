"""The library behind the stage commands: networks, samplers, files and checks."""

__version__ = "0.1.0"
