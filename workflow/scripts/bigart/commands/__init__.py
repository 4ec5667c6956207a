"""The frame of the stage commands: arguments, messages, exit status, opening a network."""
