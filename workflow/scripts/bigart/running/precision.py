"""What `precision: auto` stands for: the one place that says so, and it needs no torch."""


def resolved(precision: str) -> str:
    """Return the number format that a value of the option `precision` stands for.

    "auto" is "fp32", in which the networks agree with the published ones on any device; every
    other value is itself.
    """
    return "fp32" if precision == "auto" else precision
