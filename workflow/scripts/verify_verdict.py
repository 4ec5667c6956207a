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
    path = Path(arguments.figures)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        lines = [_line(stage) for stage in found["stages"]]
        errors = compare.verdict(found)
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path} is damaged or not of verify_report.py ({error!r})") from None
    if not lines:
        raise UserError(f"{path} is not of verify_report.py: it holds no stage")
    print("\n".join(lines))
    if errors:
        raise UserError("the engines do not agree:\n  " + "\n  ".join(errors))
    print(f"The engines agree. {path.with_suffix('.html')} shows it.")


def _line(stage: Mapping[str, Any]) -> str:
    line = (
        f"{stage['stage']}: {'agrees' if stage['agrees'] else 'DIFFERS'}; network "
        f"{compare.shown(stage['largest'], '%.1e')} of the spread"
    )
    for each in stage["differences"]:
        if each["what"] == "picture":  # what judges makes none
            line += (
                f", picture {compare.shown(each['largest'], '%.0f')} of 255 at most, "
                f"{compare.shown(each['mean'], '%.4f')} on average"
            )
    return line


if __name__ == "__main__":
    main()
