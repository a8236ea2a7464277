"""One loss, every framework: equal losses, gradients, actions and parameters, and checkpoints that change hands."""

from __future__ import annotations

from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import ALGORITHMS
from rltune.algorithm import Algorithm
from rltune.frameworks import _numpy
from rltune.sample_batch import minibatch_index
from tests.bindings import ALL, INSTALLED
from tests.conformance import make, repeatable, same_state

IMAGES: dict[str, Any] = {
    "env": "tests.envs.toy:IdentityImageEnv",
    "model": {
        "conv_filters": [[4, 4, 2], [4, [3, 2], 2], [8, 3, 1]],
        "fcnet_hiddens": [8],
        "conv_activation": "tanh",
    },
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "PG": ("PG", {"entropy_coeff": 0.02}),
    "PPO": ("PPO", {"kl_coeff": 0.2, "vf_clip_param": 10.0, "entropy_coeff": 0.01}),
    "PPO, shared layers": ("PPO", {"vf_share_layers": True}),
    "PPO, Gaussian": ("PPO", {"env": "Pendulum-v1", "observation_filter": "MeanStdFilter"}),
    "PPO, log std from the network": (
        "PPO",
        {"env": "Pendulum-v1", "model": {"free_log_std": False}},
    ),
    "PPO, several actions": ("PPO", {"env": "tests.agents.test_identity:IdentityMultiEnv"}),
    "PPO, images": ("PPO", IMAGES),
    "PPO, images, shared layers": ("PPO", {**IMAGES, "vf_share_layers": True}),
    "DQN": ("DQN", {}),
    "DQN, images": ("DQN", IMAGES),
    "DQN, plain": ("DQN", {"double_q": False, "dueling": False, "n_step": 3}),
}
OTHERS = [p for p in ALL if p.values[0] != "torch"]
"""Torch is what the others are compared with."""

pytestmark = pytest.mark.usefixtures("torch")


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def built(case: str, framework: str) -> Algorithm:
    name, more = CASES[case]
    return make(name, framework=framework, **more)


@cache
def first_call(case: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Batch and coefficients of the first update, which no framework has had a part in."""
    algorithm, calls = built(case, "torch"), []

    def keep(batch: Any, index: Any, coeffs: Any) -> Any:
        calls.append((batch, coeffs))
        return update(batch, index, coeffs)

    update = algorithm.learner.update
    algorithm.learner.update = keep  # type: ignore[method-assign]
    algorithm.train()
    batch, coeffs = calls[0]
    return batch, {**coeffs, "target_tau": 0.0}


def perturbed(algorithm: Algorithm) -> None:
    """Away from the first weights, where probability ratios are 1 and gradients have ties."""
    rng = np.random.default_rng(5)
    noise = {k: 0.1 * rng.standard_normal(w.shape) for k, w in algorithm.get_weights().items()}
    weights = algorithm.get_weights()
    algorithm.set_weights({k: (w + noise[k]).astype(np.float32) for k, w in weights.items()})


@pytest.mark.parametrize("framework", OTHERS)
@pytest.mark.parametrize("case", CASES)
def test_losses_gradients_and_rows(case: str, framework: str) -> None:
    """Losses to 1e-5, gradients to 1e-5 of the largest. Adam's first m is a tenth of the gradient."""
    batch, coeffs = first_call(case)
    index = np.arange(len(batch["obs"]), dtype=np.int32)[None]
    found = []
    for name in ("torch", framework):
        algorithm = built(case, name)
        perturbed(algorithm)
        coeffs = {**coeffs, "grad_clip": np.inf}
        stats, rows = algorithm.learner.update(batch, index, coeffs)
        found.append((stats, rows, algorithm.learner.get_state()["m"]))
    (stats, rows, m), (other_stats, other_rows, other_m) = found
    assert stats.keys() == other_stats.keys() and rows.keys() == other_rows.keys()
    for key in stats:
        np.testing.assert_allclose(other_stats[key], stats[key], rtol=1e-5, atol=1e-6)
    for key in rows:
        np.testing.assert_allclose(other_rows[key], rows[key], rtol=1e-5, atol=1e-5)
    largest = max(np.abs(g).max() for g in m.values())
    assert largest > 0
    for key in m:
        np.testing.assert_allclose(other_m[key], m[key], rtol=0, atol=1e-5 * largest)


def many_minibatches(algorithm: Algorithm, batch: Any, coeffs: dict[str, Any]) -> None:
    """200 steps in four calls of different length, each with coefficients of its own."""
    rng = np.random.default_rng(0)
    size = len(batch["obs"]) // 3 + 1  # the last minibatch of an epoch is short
    for call, epochs in enumerate((5, 20, 40, 2)):
        index = minibatch_index(rng, len(batch["obs"]), size, epochs)
        now = {key: c * (1 + 0.2 * call) for key, c in coeffs.items() if key != "target_tau"}
        tau = np.zeros(len(index))
        tau[-1], tau[len(index) // 2] = 1.0, 0.5
        algorithm.learner.update(batch, index, {**now, "target_tau": tau})


@pytest.mark.parametrize("framework", OTHERS)
@pytest.mark.parametrize("case", CASES)
def test_parameters_after_200_minibatches(case: str, framework: str) -> None:
    """They differ by at most 2e-5 of how far they have moved (measured: 2e-6), and act alike.

    Behind convolutions rounding may put a unit on the other side of its kink: one of a hundred numbers may then differ
    by 1e-3 of it (measured: one of 250, by 2e-4).
    """
    batch, coeffs = first_call(case)
    one, other = built(case, "torch"), built(case, framework)
    start = one.get_weights()
    for algorithm in (one, other):
        many_minibatches(algorithm, batch, coeffs)
        algorithm._sync_policy()
    states = one.learner.get_state(), other.learner.get_state()
    assert states[0]["t"] == states[1]["t"] >= 200
    moved = max(np.abs(w - start[k]).max() for k, w in states[0]["theta"].items())
    assert moved > 0.01
    for part in states[0].keys() & {"theta", "target"}:
        for key in start:
            apart = np.abs(states[1][part][key] - states[0][part][key]) / moved
            if "images" in case:
                assert np.mean(apart > 2e-5) <= 0.01 and apart.max() <= 1e-3, key
            else:
                assert apart.max() <= 2e-5, key
    obs = batch["obs"]
    inputs = [a.model.policy(_numpy, a.policy.params, obs) for a in (one, other)]
    np.testing.assert_allclose(*inputs, rtol=1e-3, atol=1e-4)
    actions = [a.policy.act(obs, None)[0] for a in (one, other)]
    if np.issubdtype(actions[0].dtype, np.integer):
        assert np.mean(actions[0] == actions[1]) >= 0.99  # all but near ties
    else:
        np.testing.assert_allclose(*actions, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
@pytest.mark.parametrize(("first", "second"), list(permutations(INSTALLED, 2)))
def test_a_checkpoint_goes_on_under_another_framework(
    name: str, first: str, second: str, tmp_path: Path
) -> None:
    """Parameters, moments and target move exactly; the next iteration is the one that would have come anyway."""
    algorithm = make(name, framework=first)
    for _ in range(2):
        algorithm.train()
    path = algorithm.save(str(tmp_path))
    moved = Algorithm.from_checkpoint(path, {"framework": second})
    assert same_state(moved.learner.get_state(), algorithm.learner.get_state())
    stayed, went = repeatable(algorithm.train()), repeatable(moved.train())
    assert (stayed.pop("framework"), went.pop("framework")) == (first, second)
    assert went["episode_reward_mean"] == pytest.approx(stayed["episode_reward_mean"], rel=0.1)
    assert went["weights_version"] == stayed["weights_version"]
    assert went["info"]["learner"] == pytest.approx(stayed["info"]["learner"], rel=0.02, abs=1e-3)


PBT_KEYS = {"lr": 0.3, "clip_param": 0.7, "gamma": 0.9, "entropy_coeff": 0.5}


@pytest.mark.parametrize("framework", [p for p in ALL if p.values[0] != "torch"])
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_pbt_run_is_traced_once(name: str, framework: str) -> None:
    """Each round another config and another's state; what they change are inputs of the compiled update."""
    # PG's batches are whole episodes: 140 rows and one episode more are below 256.
    config = {"framework": framework, "train_batch_size": 140}
    donor, algorithm = make(name, **config), make(name, seed=8, **config)
    donor.train()
    updater: Any = algorithm.learner._updater
    for _ in range(3):
        before = algorithm.learner.get_weights()
        algorithm.train()
        assert not same_state(before, algorithm.learner.get_weights())
        mutated = {
            key: algorithm.config.get(key, getattr(algorithm.cfg, key)) * factor + 1e-3
            for key, factor in PBT_KEYS.items()
            if key in type(algorithm.cfg).fields_by_key()
        }
        assert len(mutated) >= 2
        algorithm.reset_config({**algorithm.config, **mutated})
        algorithm.inherit_from_object(donor.save_to_object())
        assert algorithm.learner._updater is updater
    assert updater.traces == 1


@pytest.mark.parametrize("framework", [p for p in ALL if p.values[0] != "torch"])
def test_epochs_and_rows_are_no_new_trace(framework: str) -> None:
    """Whole batches of another length, and other numbers of epochs, find room in the padding."""
    batch, coeffs = first_call("PPO")
    algorithm = built("PPO", framework)
    updater: Any = algorithm.learner._updater
    rng = np.random.default_rng(0)
    for rows, epochs in ((96, 2), (96, 5), (70, 1), (81, 4), (95, 2)):
        part = {name: column[:rows] for name, column in batch.items()}
        algorithm.learner.update(part, minibatch_index(rng, rows, 32, epochs), coeffs)
    assert updater.traces == 1
