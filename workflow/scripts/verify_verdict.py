"""Say whether the engines agree, from the figures of verify_report.py; end with an error if not."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigart.commands import command
from bigart.errors import UserError
from bigart.verify import compare


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", help="report.json of verify_report.py")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Print a line for each stage.

    Raises:
        UserError: The engines differ by more than the tolerance, or these are no such figures.
    """
    try:
        found = json.loads(Path(arguments.figures).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{arguments.figures} is missing") from None
    except ValueError as error:
        raise UserError(f"{arguments.figures} is damaged: {error}") from None
    try:
        lines = [_line(stage) for stage in found["stages"]]
        faults = compare.verdict(found)
        if not lines:
            raise KeyError("stages")
    except (KeyError, TypeError, StopIteration):
        raise UserError(f"{arguments.figures} is not of verify_report.py") from None
    print("\n".join(lines))
    if faults:
        raise UserError("the engines do not agree:\n  " + "\n  ".join(faults))
    print(f"The engines agree. {Path(arguments.figures).with_suffix('.html')} shows it.")


def _line(stage: Mapping[str, Any]) -> str:
    picture = next(each for each in stage["differences"] if each["what"] == "picture")
    return (
        f"{stage['stage']}: {'agrees' if stage['agrees'] else 'DIFFERS'}; network "
        f"{compare.shown(stage['largest'], '%.1e')} of the spread, picture "
        f"{compare.shown(picture['largest'], '%.0f')} of 255 at most, "
        f"{compare.shown(picture['mean'], '%.4f')} on average"
    )


if __name__ == "__main__":
    main()
