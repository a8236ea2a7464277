"""What setup.py asks for is what the code imports, and constraints.txt has a version of each."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rltune.version import __version__
from tests.test_import_direction import files, imports

ROOT = Path(__file__).resolve().parents[1]

# Import name -> distribution, where they differ.
DISTRIBUTIONS = {
    "google_crc32c": "google-crc32c",
    "yaml": "pyyaml",
    "ax": "ax-platform",
    "bayes_opt": "bayesian-optimization",
    "skopt": "scikit-optimize",
    "ale_py": "ale-py",
    "keras": "tensorflow",
}
# Imported for users who bring them: old environments behind an adapter, SigOpt's paid service.
BROUGHT_BY_USERS = {"gym", "sigopt"}


def setup_lists() -> dict[str, Any]:
    """REQUIRED and EXTRAS as setup.py states them, read without running it."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("REQUIRED", "EXTRAS")
    }


def requirements() -> list[Requirement]:
    lists = setup_lists()
    return [Requirement(text) for text in sum(lists["EXTRAS"].values(), lists["REQUIRED"])]


def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_every_import_is_declared() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    imported = {
        name.split(".")[0] for path in files("rltune", "agents") for name, _ in imports(path)
    }
    foreign = imported - sys.stdlib_module_names - {"rltune", "agents"} - BROUGHT_BY_USERS
    undeclared = {name for name in foreign if DISTRIBUTIONS.get(name, name).lower() not in declared}
    assert not undeclared


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_constraints_hold_a_fitting_version(requirement: Requirement) -> None:
    """One for each marker (older Pythons), and each within the range of setup.py."""
    name = canonicalize_name(requirement.name)
    pins = [pin for pin in constraints() if canonicalize_name(pin.name) == name]
    assert pins
    for pin in pins:
        (specifier,) = pin.specifier
        assert specifier.operator == "==" and specifier.version in requirement.specifier


def test_constraints_are_the_same_on_every_machine() -> None:
    for pin in constraints():
        assert pin.url is None and "+" not in str(pin.specifier), str(pin)


def test_the_version_is_stated_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    for path in (ROOT / "setup.py", ROOT / "pyproject.toml"):
        assert __version__ not in re.findall(r'version\s*=\s*"(.+?)"', path.read_text("utf-8"))
