"""Reading results back: T1.12, T1.3 (C1), T6.6."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rltune.tune.analysis import Analysis, ExperimentAnalysis
from rltune.tune.error import TuneError
from rltune.tune.logger import UnifiedLogger
from rltune.tune.visual_utils import generate_plotly_dim_dict, load_results_to_df

pd = pytest.importorskip("pandas")

NAN, INF = float("nan"), float("inf")


def make_trial(directory: Path, config: dict[str, Any], values: list[float]) -> str:
    directory.mkdir(parents=True)
    logger = UnifiedLogger(config, str(directory))
    for i, value in enumerate(values):
        logger.on_result({"training_iteration": i + 1, "score": value, "config": config})
    logger.close()
    return str(directory)


def make_experiment(directory: Path, histories: dict[str, list[float]]) -> list[str]:
    return [
        make_trial(directory / name, {"lr": i, "net": {"act": name}}, values)
        for i, (name, values) in enumerate(histories.items())
    ]


def write_state(path: Path, logdirs: list[str], **more: Any) -> None:
    state = {
        "checkpoints": [{"logdir": logdir} for logdir in logdirs],
        "runner_data": {"_iteration": 7},
        "stats": {"start_time": 1.5, "timestamp": 2.5},
    }
    path.write_text(json.dumps({**state, **more}))


def test_t1_12_one_row_per_trial(tmp_path: Path) -> None:
    make_experiment(tmp_path / "a", {f"t{i}": [float(i)] for i in range(10)})
    assert len(Analysis(str(tmp_path / "a")).dataframe()) == 10
    make_experiment(tmp_path / "b", {f"t{i}": [float(i)] for i in range(10)})
    frame = Analysis(str(tmp_path)).dataframe()
    assert len(frame) == 20
    assert {"score", "training_iteration", "config:lr", "config:net", "logdir"} <= set(frame)


def test_t1_12_rows_of_the_best_value(tmp_path: Path) -> None:
    path, _ = make_experiment(tmp_path, {"up": [1.0, 5.0, 2.0], "down": [3.0, 0.5, 4.0]})
    analysis = Analysis(str(tmp_path))

    def iterations(*args: str) -> list[int]:
        return list(analysis.dataframe(*args).sort_values("config:lr")["training_iteration"])

    assert iterations() == [3, 3]
    assert iterations("score", "max") == [2, 3]
    assert iterations("score", "min") == [1, 2]
    assert list(analysis.trial_dataframes[path]["score"]) == [1.0, 5.0, 2.0]


def test_t1_12_best_config_and_logdir(tmp_path: Path) -> None:
    """`get_best_config` looks at whole histories, `get_best_logdir` at last rows."""
    up, down = make_experiment(tmp_path, {"up": [1.0, 5.0, 2.0], "down": [3.0, 0.5, 4.0]})
    analysis = Analysis(str(tmp_path))
    assert analysis.get_best_config("score")["net"]["act"] == "up"
    assert analysis.get_best_config("score", mode="min")["net"]["act"] == "down"
    assert analysis.get_best_config("score", mode=None)["net"]["act"] == "down"
    assert analysis.get_best_logdir("score") == down
    assert analysis.get_best_logdir("score", mode="min") == up


@pytest.mark.parametrize(("mode", "best"), [("max", "b"), ("min", "c")])
def test_best_is_the_best_finite_value(tmp_path: Path, mode: str, best: str) -> None:
    make_experiment(
        tmp_path,
        {"a": [NAN], "b": [INF, 3.0], "c": [-INF, 1.0], "d": [NAN, 2.0], "e": [INF], "f": [-INF]},
    )
    analysis = Analysis(str(tmp_path))
    assert analysis.get_best_config("score", mode)["net"]["act"] == best
    assert Path(analysis.get_best_logdir("score", mode)).name == best
    assert len(analysis.dataframe("score", mode)) == 3


def test_no_best_value_is_an_error(tmp_path: Path) -> None:
    make_experiment(tmp_path, {"a": [NAN], "b": [INF]})
    analysis = Analysis(str(tmp_path))
    with pytest.raises(TuneError, match="No trial has a finite value of 'score'"):
        analysis.get_best_config("score")
    with pytest.raises(TuneError, match="'scor'; did you mean 'score'"):
        analysis.get_best_logdir("scor")


def test_t1_12_configs(tmp_path: Path) -> None:
    one, two = make_experiment(tmp_path, {"a": [1.0], "b": [1.0]})
    analysis = Analysis(str(tmp_path))
    assert analysis.get_all_configs()[two] == {"lr": 1, "net": {"act": "b"}}
    assert analysis.get_all_configs(prefix=True)[one]["config:lr"] == 0
    Path(one, "params.json").unlink()
    assert list(analysis.get_all_configs()) == [two]
    assert len(analysis.dataframe()) == 2


def test_t1_12_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a directory"):
        Analysis(str(tmp_path / "none"))
    with pytest.raises(TuneError, match="No trials found"):
        Analysis(str(tmp_path))
    make_experiment(tmp_path, {"a": [1.0]})
    for method in ("dataframe", "get_best_config", "get_best_logdir"):
        with pytest.raises(AssertionError, match="'best'"):
            getattr(Analysis(str(tmp_path)), method)("score", mode="best")


def test_t1_12_only_the_trials_of_one_state_file(tmp_path: Path) -> None:
    one, two, three = make_experiment(tmp_path, {"a": [1.0], "b": [2.0], "c": [3.0]})
    write_state(tmp_path / "experiment_state-2020-01-01_00-00-00.json", [one, two])
    write_state(tmp_path / "experiment_state-2020-01-02_00-00-00.json", [three])
    newest = ExperimentAnalysis(str(tmp_path))
    assert list(newest.dataframe()["score"]) == [3.0]
    older = ExperimentAnalysis(str(tmp_path / "experiment_state-2020-01-01_00-00-00.json"))
    assert sorted(older.dataframe()["score"]) == [1.0, 2.0]
    assert older.stats() == {"start_time": 1.5, "timestamp": 2.5}
    assert older.runner_data() == {"_iteration": 7}
    assert list(older) == []


def test_a_moved_experiment_is_found(tmp_path: Path) -> None:
    logdirs = make_experiment(tmp_path / "old", {"a": [1.0]})
    write_state(tmp_path / "old" / "experiment_state-1.json", logdirs)
    (tmp_path / "old").rename(tmp_path / "new")
    assert len(ExperimentAnalysis(str(tmp_path / "new")).dataframe()) == 1


def test_t1_12_state_errors(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="No experiment state"):
        ExperimentAnalysis(str(tmp_path))
    (tmp_path / "experiment_state-1.json").write_text('{"stats": {}}')
    with pytest.raises(TuneError, match="lists no trials"):
        ExperimentAnalysis(str(tmp_path))


def test_t1_3_a_sequence_of_trials(tmp_path: Path) -> None:
    [logdir] = make_experiment(tmp_path, {"a": [1.0]})
    trials = [SimpleNamespace(logdir=logdir), SimpleNamespace(logdir=None)]
    analysis = ExperimentAnalysis(str(tmp_path), trials)
    one, two = analysis
    assert analysis.trials == trials and len(analysis) == 2
    assert analysis[0] is one and analysis[-1] is two and analysis[:1] == [one]
    assert two in analysis
    assert list(analysis.dataframe()["score"]) == [1.0]


def test_pandas_is_asked_for_only_by_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [logdir] = make_experiment(tmp_path, {"a": [1.0]})
    monkeypatch.setitem(sys.modules, "pandas", None)
    analysis = ExperimentAnalysis(str(tmp_path), [SimpleNamespace(logdir=logdir)])
    assert analysis.get_all_configs()[logdir]["lr"] == 0
    with pytest.raises(ImportError, match=r"pip install rltune\[analysis\]"):
        analysis.dataframe()


def test_t6_6_frame_for_parallel_coordinates(tmp_path: Path) -> None:
    make_experiment(tmp_path, {f"t{i}": [0.0, float(i)] for i in range(4)})
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "result.json").write_text("")
    frame = load_results_to_df(str(tmp_path))
    assert len(frame) == 4
    assert list(frame["score"]) == [0.0, 1.0, 2.0, 3.0]
    assert list(frame["lr"]) == [0, 1, 2, 3]
    assert list(frame["net:act"]) == ["t0", "t1", "t2", "t3"]


def test_t6_6_plotly_axes() -> None:
    frame = pd.DataFrame(
        {"x": [1.5, 2.0, 3.0], "act": ["relu", "tanh", "relu"], "when": [pd.Timestamp(0)] * 3}
    )
    numbers = generate_plotly_dim_dict(frame, "x")
    assert numbers["label"] == "x" and list(numbers["values"]) == [1.5, 2.0, 3.0]
    assert generate_plotly_dim_dict(frame, "act") == {
        "label": "act",
        "values": [0, 1, 0],
        "tickvals": [0, 1],
        "ticktext": ["relu", "tanh"],
    }
    with pytest.raises(TypeError, match="'when' holds neither"):
        generate_plotly_dim_dict(frame, "when")
