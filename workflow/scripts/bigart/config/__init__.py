"""What a run is asked for: options, table of artworks, models; all checked together."""
