"""The files in which PBT says what it did (T10.9)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rltune.tune.schedulers.policy_log import PolicyLog, policy_file
from tests.tune.schedulers.population import new_pbt, scored


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def entry(loser: int, donor: int, step: int, lr: float = 0.1) -> list[Any]:
    return [f"{loser}_lr=1", f"{donor}_lr=1", step, step, {"lr": 1}, {"lr": lr}]


def test_t10_9_an_exploit_is_a_list_of_six(tmp_path: Path) -> None:
    """Files are in the experiment's directory, tags are the original ones."""
    population = scored(new_pbt(log_config=True), directory=tmp_path)
    population.report(0, 20, -100)
    population.report(0, 40, -100)
    lines = read(tmp_path / "pbt_global.txt")
    assert len(lines) == 2
    for line, iteration in zip(lines, (20, 40), strict=True):
        loser, donor, loser_iteration, donor_iteration, old, new = line
        assert loser == "0_lr=1.0"
        assert donor in ("3_lr=1.0", "4_lr=1.0")
        assert (loser_iteration, donor_iteration) == (iteration, 10)
        assert old == {"lr": 1.0, "size": 100, "seed": int(donor[0])}
        assert new == {"lr": new["lr"], "size": 100, "seed": 0}
        assert new["lr"] in (0.8, 1.2)
    assert read(tmp_path / "pbt_policy_0.txt") == lines[1:]  # what it was before is overwritten
    assert len(list(tmp_path.glob("pbt_*"))) == 2


def test_t10_9_no_files_without_log_config(tmp_path: Path) -> None:
    population = scored(new_pbt(log_config=False), directory=tmp_path)
    population.report(0, 20, -100)
    assert population.take_done()[-1][0] == "exploit"
    assert not list(tmp_path.iterdir())


def test_t10_9_a_policy_file_is_the_whole_lineage(tmp_path: Path) -> None:
    """The donor's policy replaces the loser's, then comes the new line."""
    log = PolicyLog(tmp_path)
    lines = [entry(1, 0, 10), entry(2, 1, 20), entry(1, 3, 30), entry(4, 2, 40)]
    for line in lines:
        log.append(line)
    assert read(tmp_path / "pbt_global.txt") == lines
    assert read(tmp_path / "pbt_policy_1.txt") == [lines[2]]
    assert read(tmp_path / "pbt_policy_2.txt") == [lines[0], lines[1]]
    assert read(tmp_path / "pbt_policy_4.txt") == [lines[0], lines[1], lines[3]]
    assert not (tmp_path / "pbt_policy_0.txt").exists()


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("12_lr=1", "pbt_policy_12.txt"),
        ("3", "pbt_policy_3.txt"),
        ("mine", "pbt_policy_.txt"),
    ],
)
def test_t10_9_the_number_of_a_policy_file(tag: str, name: str) -> None:
    assert policy_file(tag) == name


@pytest.mark.parametrize("known", [0, 1, 2, 3, 4])
def test_a_resumed_run_cuts_off_what_it_does_not_know(tmp_path: Path, known: int) -> None:
    """The same lines again, or others in their place, leave no trace of the first ones."""
    lines = [entry(1, 0, 10), entry(2, 1, 20), entry(1, 3, 30), entry(4, 1, 40)]
    for name in "ab":
        (tmp_path / name).mkdir()
    log = PolicyLog(tmp_path / "a")
    for line in lines:
        log.append(line)
    resumed = PolicyLog(tmp_path / "a", lines=known)
    anew = [*lines[known:], entry(2, 4, 50)]
    for line in anew:
        resumed.append(line)
    undisturbed = PolicyLog(tmp_path / "b")
    for line in [*lines[:known], *anew]:
        undisturbed.append(line)
    files = {path.name: path.read_text() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_text() for path in (tmp_path / "b").iterdir()}


def test_a_policy_of_what_never_happened_is_removed(tmp_path: Path) -> None:
    log = PolicyLog(tmp_path)
    log.append(entry(1, 0, 10))
    log.append(entry(2, 1, 20))
    PolicyLog(tmp_path, lines=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pbt_global.txt",
        "pbt_policy_1.txt",
    ]
    PolicyLog(tmp_path, lines=0)
    assert (tmp_path / "pbt_global.txt").read_text() == ""


def test_a_policy_that_a_power_cut_took_is_written_anew(tmp_path: Path) -> None:
    PolicyLog(tmp_path).append(entry(1, 0, 10))
    policy = tmp_path / "pbt_policy_1.txt"
    policy.write_bytes(b"")
    PolicyLog(tmp_path, lines=1)
    assert read(policy) == [entry(1, 0, 10)]


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    log = PolicyLog(tmp_path)
    log.append(entry(1, 0, 10))
    with open(tmp_path / "pbt_global.txt", "a") as file:
        file.write('["2_lr=1", "1_l')
    resumed = PolicyLog(tmp_path, lines=1)
    resumed.append(entry(2, 1, 20))
    assert read(tmp_path / "pbt_global.txt") == [entry(1, 0, 10), entry(2, 1, 20)]


def test_a_new_run_moves_what_an_earlier_one_has_left(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        PolicyLog(tmp_path).append(entry(step, 0, step))
    assert read(tmp_path / "pbt_global.txt") == [entry(3, 0, 3)]
    for step in (1, 2):
        folder = tmp_path / f"pbt_earlier_{step}"
        assert read(folder / "pbt_global.txt") == [entry(step, 0, step)]
        assert read(folder / f"pbt_policy_{step}.txt") == [entry(step, 0, step)]


def test_what_json_cannot_hold_is_logged_as_text(tmp_path: Path) -> None:
    population = scored(new_pbt(log_config=True), directory=tmp_path)
    for donor in (3, 4):
        population.runner.trials[donor].config |= {"env": dict, "bad": float("nan")}
    population.report(0, 20, -100)
    (line,) = read(tmp_path / "pbt_global.txt")
    assert (line[5]["env"], line[5]["bad"]) == ("<class 'dict'>", None)
