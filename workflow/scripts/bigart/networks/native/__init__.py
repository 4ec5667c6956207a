"""The networks in this project's own code (`engine: native`)."""
