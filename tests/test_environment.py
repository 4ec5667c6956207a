"""The environments of the rules and the lock file say the same, and suffice."""

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml

from bigart import code

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
PACKAGES = {"PIL": "pillow", "yaml": "pyyaml"}


def pins(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for dependency in yaml.safe_load(path.read_text())["dependencies"]:
        if isinstance(dependency, dict):
            found |= dict(pin.lower().split("==") for pin in dependency["pip"])
    return found


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().lower().splitlines()
    return dict(line.split("==") for line in lines if re.match(r"[a-z0-9._-]+==", line))


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_pins_what_the_lock_file_pins(path: Path) -> None:
    assert pins(path)
    assert pins(path).items() <= locked().items()


def rules() -> list[tuple[str, str]]:
    """The stage command and the environment of each rule."""
    found = []
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            command = re.search(r"BIGART_SCRIPTS/(\w+\.py)", rule)
            environment = re.search(r'conda:\s+"\.\./\.\./envs/(\w+\.yaml)"', rule)
            assert command, rule
            assert environment, rule
            found.append((command[1], environment[1]))
    return found


@pytest.mark.parametrize(("command", "environment"), rules())
def test_an_environment_has_what_its_rule_imports(command: str, environment: str) -> None:
    imported = set()
    for path in code._used_files(ROOT / "workflow/scripts" / command):
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"bigart"}
    needed = {PACKAGES.get(name, name) for name in foreign}
    assert needed <= set(pins(ROOT / "envs" / environment))


def test_every_rule_declares_what_it_needs() -> None:
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            name = rule.partition(":")[0]
            for part in ("log:", "benchmark:", "conda:", "threads:", "mem_mb=", "runtime="):
                assert part in rule, f"{name} lacks {part}"
            runs_a_network = "--device" in rule
            assert ("gpu=1" in rule) == runs_a_network, name
