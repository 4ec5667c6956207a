"""GLIDE: text-guided diffusion (Nichol et al. 2021, arXiv:2112.10741)."""
