"""Model files: their table, downloads, checkpoints, conversion to safetensors."""
