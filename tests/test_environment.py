"""The environments of the rules and the lock file say the same, and suffice."""

import ast
import re
import sys
from pathlib import Path

import pytest

import conda_stub
import upstream
from bigart.running import code_version, engines
from bigart.stages import STAGES

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
UPSTREAM = {name: upstream.file_of(name) for name in upstream.ENVIRONMENTS}
OWN_ENVIRONMENTS = [path for path in ENVIRONMENTS if path not in UPSTREAM.values()]
RULES = [p for p in sorted((ROOT / "workflow/rules").glob("*.smk")) if "shell:" in p.read_text()]
PACKAGES = {
    "PIL": "pillow",
    "bidi": "python-bidi",
    "manimgx_fonts": "manimgx-fonts",
    "noto_cjk_sans_otc": "noto-cjk-sans-otc",
    "yaml": "pyyaml",
}


def pins(path: Path) -> dict[str, str]:
    """Name -> version, or address."""
    found: dict[str, str] = {}
    for pin in conda_stub.pip_pins(path):
        parts = re.fullmatch(r"([\w.-]+)(?:==([\w.]+)| @ (https://[^\s#]+\.zip))", pin)
        assert parts, f"{pin} is not pinned"
        found[parts[1].lower()] = parts[2].lower() if parts[2] else parts[3]
    return found


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().lower().splitlines()
    return dict(line.split("==") for line in lines if re.match(r"[a-z0-9._-]+==", line))


def test_each_environment_of_an_original_can_be_built() -> None:
    assert sorted(UPSTREAM.values()) == sorted((ROOT / "envs").glob("upstream-*.yaml"))


@pytest.mark.parametrize("path", OWN_ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_pins_what_the_lock_file_pins(path: Path) -> None:
    assert pins(path)
    assert pins(path).items() <= locked().items()


@pytest.mark.parametrize("name", UPSTREAM)
def test_an_original_package_runs_with_what_the_networks_run_with(name: str) -> None:
    networks = pins(ROOT / "envs/networks.yaml")
    found = pins(UPSTREAM[name])
    assert upstream.ENVIRONMENTS[name] in found
    older = {"torch", "numpy"} if name == "basicsr" else set()  # it works with no later ones
    assert older <= found.keys()
    assert {pin for pin in networks.items() if pin[0] not in older} <= found.items()


def test_what_is_not_pinned_is_refused(tmp_path: Path) -> None:
    """The tests above can fail."""
    file = tmp_path / "wrong.yaml"
    for wrong in ("numpy", "numpy>=2", "numpy==2.*", "numpy @ ../numpy", "numpy @ https://x.org/"):
        file.write_text(f'dependencies: [python =3.11, {{pip: ["{wrong}"]}}]\n')
        with pytest.raises(AssertionError, match="is not pinned"):
            pins(file)


def test_an_environment_counts_once_it_is_complete_and_of_the_present_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "FOLDER", tmp_path)
    python = tmp_path / "taming/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert upstream.python_of("taming") is None
    complete = tmp_path / "taming" / upstream.COMPLETE
    complete.write_text(UPSTREAM["taming"].read_text() + "# changed since\n")
    assert upstream.python_of("taming") is None
    complete.write_text(UPSTREAM["taming"].read_text())
    assert upstream.python_of("taming") == upstream.build("taming") == python


def rules() -> set[tuple[str, str]]:
    """The command of each rule and its environments, of each engine where it runs a network."""
    every = "".join(path.read_text() for path in [ROOT / "Snakefile", *RULES])
    fixed = r"    conda:\n\s+\"[./]*envs/([\w.-]+)\"\n(?:(?!\nrule ).)*?BIGART_SCRIPTS/([\w.]+)"
    found = {(command, file) for file, command in re.findall(fixed, every, re.DOTALL)}
    for stage in STAGES.values():
        if not stage.role:
            own = {"proof": "proof.yaml", "preview": "gallery.yaml"}
            found.add((stage.command, own.get(stage.name, "pictures.yaml")))
            continue
        for engine in engines.ENGINES:
            environment = engines.environment(engine, stage.architecture)
            if engine == engines.NATIVE and stage.environment:
                found.add((stage.command, stage.environment))
                continue
            found |= {(stage.command, environment), ("verify_stage.py", environment)}
    return found


def test_every_rule_is_looked_at() -> None:
    """The test below can fail."""
    text = "".join(path.read_text() for path in [ROOT / "Snakefile", *RULES])
    assert {command for command, _ in rules()} == {*re.findall(r"BIGART_SCRIPTS/([\w.]+)", text)}


@pytest.mark.parametrize(("command", "environment"), sorted(rules()))
def test_an_environment_has_what_its_rule_imports(command: str, environment: str) -> None:
    script = ROOT / "workflow/scripts" / command
    imported = set()
    for path in [script, *code_version.imported_modules(script)]:
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"bigart"}
    needed = {PACKAGES.get(name, name) for name in foreign}
    assert needed <= set(pins(ROOT / "envs" / environment))


def test_every_rule_declares_what_it_needs() -> None:
    for path in RULES:
        for rule in re.split(r"^ *rule\b", path.read_text(), flags=re.MULTILINE)[1:]:
            for part in ("log:", "benchmark:", "conda:", "resources:"):
                assert part in rule, f"{part} is not in {rule}"
            assert "**limits(" in rule or {"mem_mb=", "runtime="} <= {*re.findall(r"\w+=", rule)}
            networks = (
                r"model=(verify_)?network\b|networks_of_print|judge_files|enlargers|painter\("
            )
            runs_a_network = re.search(networks, rule) is not None
            assert ("gpu=1" in rule) == runs_a_network, rule
