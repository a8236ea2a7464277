"""The architecture as a test: who may import whom, read from the syntax trees of the files.

Every import counts, also one inside a function; only `if TYPE_CHECKING:` blocks are left out
of the search for cycles, since they never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Level of each module or package directly under rltune/. `tune` stands beside the algorithms.
LEVELS = {
    "version": 0,
    "config": 0,
    "algorithm_config": 0,
    "sample_batch": 0,
    "returns": 0,
    "schedules": 0,
    "trainable": 0,
    "resources": 0,
    "registry": 0,
    "result": 0,
    "checkpoint": 0,
    "seeding": 0,
    "metrics": 0,
    "packing": 0,
    "scratch": 0,
    "effective": 0,
    "system_usage": 0,
    "ray_start": 0,
    "envs": 1,
    "models": 1,
    "frameworks": 1,
    "policy": 1,
    "rollout": 2,
    "replay": 2,
    "learner": 2,
    "env_spaces": 2,
    "algorithm_state": 3,
    "algorithm": 3,
    "on_policy": 3,
    "off_policy": 3,
    "tune": 4,
    "cli": 5,
    "__main__": 5,
}
HOMES = {
    "torch": {"rltune/frameworks/_torch.py", "rltune/frameworks/_torch_graph.py"},
    "tensorflow": {"rltune/frameworks/_tf.py"},
    "keras": {"rltune/frameworks/_tf.py"},
    "jax": {"rltune/frameworks/_jax.py"},
    "ray": {
        "rltune/ray_start.py",
        "rltune/rollout/worker_set.py",
        "rltune/tune/ray_nodes.py",
        "rltune/tune/ray_slots.py",
        "rltune/tune/ray_trial_executor.py",
        "rltune/tune/util.py",
    },
}
VAGUE = {"utils.py", "helpers.py", "misc.py", "common.py"}
MAX_LINES = {"agents": 200, "rltune": 500, "tests": 500, "benchmarks": 500}

Import = tuple[str, bool]  # (dotted name, whether it runs)


def files(*roots: str) -> list[Path]:
    return sorted(path for root in roots for path in (ROOT / root).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in files("rltune", "agents")}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _walk(node: ast.AST, runs: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        child_runs = runs and not _is_type_checking(node)
        yield child, child_runs
        yield from _walk(child, child_runs)


def _targets(node: ast.AST, module: str, is_package: bool) -> list[str]:
    """The dotted names that one import statement loads, submodules resolved."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        kept = parts[: len(parts) - node.level + is_package]
        base = ".".join([*kept, base]).strip(".")
    names = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in MODULES else base for name in names]


@cache
def imports(path: Path) -> frozenset[Import]:
    module, package = module_name(path), path.name == "__init__.py"
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return frozenset(
        (target, runs) for node, runs in _walk(tree) for target in _targets(node, module, package)
    )


def room(module: str) -> str:
    """`rltune.tune.trial` -> `tune`; the bare package -> ``."""
    return module.split(".")[1] if "." in module else ""


def level(name: str) -> int:
    assert name in LEVELS, f"rltune.{name} has no level: add it to LEVELS"
    return LEVELS[name]


def rltune_rooms(path: Path) -> set[str]:
    return {room(name) for name, _ in imports(path) if name.split(".")[0] == "rltune"}


@pytest.mark.parametrize("path", files("rltune"), ids=relative)
def test_levels(path: Path) -> None:
    """A module imports its own level and below; `tune` imports level 0 and itself."""
    own = room(module_name(path))
    if not own:
        return
    allowed = 0 if own == "tune" else level(own)
    for other in rltune_rooms(path) - {"", own}:
        assert level(other) <= allowed, f"{relative(path)} imports rltune.{other} above it"


@pytest.mark.parametrize("path", files("agents"), ids=relative)
def test_agents_know_neither_each_other_nor_the_runner(path: Path) -> None:
    rooms = rltune_rooms(path)
    assert all(level(name) <= level("algorithm") for name in rooms - {""}), rooms
    siblings = {name for name, _ in imports(path) if name.split(".")[0] == "agents"}
    assert not siblings, f"{relative(path)} imports {sorted(siblings)}"


@pytest.mark.parametrize("path", files("rltune"), ids=relative)
def test_rltune_never_names_agents(path: Path) -> None:
    """Algorithms are found by name at run time, so that third parties can add theirs."""
    assert not [name for name, _ in imports(path) if name.split(".")[0] == "agents"]


@pytest.mark.parametrize("path", files("rltune", "agents"), ids=relative)
def test_heavy_libraries_stay_in_their_files(path: Path) -> None:
    for name, _ in imports(path):
        homes = HOMES.get(name.split(".")[0])
        assert homes is None or relative(path) in homes, f"{relative(path)} imports {name}"


def test_no_cycles() -> None:
    """Depth-first search over the imports that run; a module met twice on one path is a cycle."""
    graph = {
        name: {target for target, runs in imports(path) if runs and target in MODULES}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        assert name not in path, "import cycle: " + " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, [*path, name])
            done.add(name)

    for name in sorted(graph):
        visit(name, [])


@pytest.mark.parametrize("path", files(*MAX_LINES), ids=relative)
def test_files_are_small_and_named_after_what_they_hold(path: Path) -> None:
    limit = MAX_LINES[relative(path).split("/")[0]]
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= limit, f"{relative(path)} has {lines} lines, the limit is {limit}"
    assert path.name not in VAGUE, f"{relative(path)}: name the file after what it holds"
