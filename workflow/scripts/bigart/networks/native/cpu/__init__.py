"""Convolution, normalisation and strips that are fast on a CPU."""
