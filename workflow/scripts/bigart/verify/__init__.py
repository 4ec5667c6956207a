"""The comparison of both engines, stage by stage."""
