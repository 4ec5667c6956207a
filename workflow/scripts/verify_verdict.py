"""Say whether the engines agree, from the figures of verify_report.py; end with an error if not."""

import argparse
import json
from pathlib import Path

from bigart import cli, comparison
from bigart.errors import UserError


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", help="report.json of verify_report.py")
    cli.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Print a line for each stage, and raise what is beyond its tolerance."""
    try:
        found = json.loads(Path(arguments.figures).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{arguments.figures} is missing") from None
    except ValueError as error:
        raise UserError(f"{arguments.figures} is damaged: {error}") from None
    for stage in found["stages"]:
        numbers = [each for each in stage["differences"] if each["kind"] == "numbers"]
        largest = max(each["largest"] for each in numbers)
        picture = next(each for each in stage["differences"] if each["what"] == "picture")
        print(
            f"{stage['stage']}: {'agrees' if stage['agrees'] else 'DIFFERS'}; network "
            f"{largest:.1e} of the spread, picture {picture['largest']:.0f} of 255 at most, "
            f"{picture['mean']:.4f} on average"
        )
    if faults := comparison.verdict(found):
        raise UserError("the engines do not agree:\n  " + "\n  ".join(faults))
    print(f"The engines agree. {Path(arguments.figures).with_suffix('.html')} shows it.")


if __name__ == "__main__":
    main()
