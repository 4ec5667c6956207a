"""The networks as their authors' own packages build them (`engine: upstream`)."""
