"""The networks: what computes pixels. A change here repaints."""
