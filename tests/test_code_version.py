"""What counts as a change of code."""

import ast

import pytest

from bigart.running.code_version import _written


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            "def f():\n    return 1",
            '"""Module."""\ndef f():\n    """F."""\n    return (1)  # c',
            True,
        ),
        ("x: int = 1", 'x: int = 1\n"""A docstring of x."""', True),
        ("a = [1, 2]", "a = [\n    1,\n    2,\n]", True),
        ("f'{x:.3f}'", 'f"{x:.3f}"', True),
        ("x = 0", "x = False", False),
        ("x = 0", "x = ''", False),
        ("x = 0", "x = None", False),
        ("def f(a, b): pass", "def f(a, *, b): pass", False),
        ("x = {None: y}", "x = {**y}", False),
        ("'text'\nf()", "f('text')", False),
    ],
)
def test_statements_count_and_their_form_does_not(one: str, other: str, same: bool) -> None:
    assert (_written(ast.parse(one)) == _written(ast.parse(other))) == same
