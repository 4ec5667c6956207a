"""What a run is told: options, table of artworks, models; all checked together."""
