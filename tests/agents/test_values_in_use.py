"""Exploit and explore for every key that may change: what training then really uses is the new value."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from agents import ALGORITHMS
from rltune.algorithm import Algorithm
from rltune.registry import get_trainable_cls
from tests.conformance import SMALL, make, small_config


@pytest.fixture(autouse=True)
def torch_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its steps are calls that can be watched; tests/parity compares what the other frameworks make of coefficients."""
    pytest.importorskip("torch")
    monkeypatch.setitem(SMALL, "framework", "torch")


class Spy:
    """What an algorithm hands to its optimiser and loss, its sampler, its returns and its buffer."""

    def __init__(self, algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch):
        self.algorithm = algorithm
        self.updates: list[Any] = []
        self.orders: list[Any] = []
        self.returns: list[dict[str, float]] = []
        self.draws: list[Any] = []
        update, sample = algorithm.learner._updater.update, algorithm.workers.sample
        step = algorithm.learner._updater._step  # type: ignore[attr-defined]
        self.steps: list[dict[str, float]] = []

        def spied_update(batch: Any, index: Any, coeffs: Any) -> Any:
            self.updates.append(SimpleNamespace(batch=batch, index=index, coeffs=dict(coeffs)))
            return update(batch, index, coeffs)

        def spied_step(minibatch: Any, coeffs: Any) -> Any:
            self.steps.append(dict(coeffs))
            return step(minibatch, coeffs)

        def spied_sample(orders: Any, steps: int) -> Any:
            self.orders.append(SimpleNamespace(coeffs=dict(orders.coeffs), steps=steps))
            return sample(orders, steps)

        postprocess = type(algorithm).postprocess

        def spied_postprocess(fragment: Any, coeffs: Any) -> Any:
            self.returns.append(dict(coeffs))
            return postprocess(fragment, coeffs)

        monkeypatch.setattr(algorithm.learner._updater, "update", spied_update)
        monkeypatch.setattr(algorithm.learner._updater, "_step", spied_step)
        monkeypatch.setattr(algorithm.workers, "sample", spied_sample)
        monkeypatch.setattr(type(algorithm), "postprocess", staticmethod(spied_postprocess))
        if hasattr(algorithm, "replay"):
            draw = algorithm.replay.sample

            def spied_draw(*args: Any) -> Any:
                self.draws.append(args)
                return draw(*args)

            monkeypatch.setattr(algorithm.replay, "sample", spied_draw)


COEFFS = {
    "lr": 0.0123,
    "gamma": 0.91,
    "grad_clip": 0.37,
    "adam_epsilon": 1e-5,
    "entropy_coeff": 0.013,
    "lambda": 0.83,
    "clip_param": 0.17,
    "vf_loss_coeff": 0.29,
    "vf_clip_param": 3.1,
    "kl_coeff": 0.41,
}


def exploited(name: str, monkeypatch: pytest.MonkeyPatch, **mutated: Any) -> tuple[Spy, Any]:
    """One iteration after an exploit and an explore, seen from within."""
    donor = make(name)
    donor.train()
    receiver = make(name, seed=8)
    receiver.train()
    receiver.reset_config(small_config(type(receiver), seed=8, **mutated))
    receiver.inherit_from_object(donor.save_to_object())
    spy = Spy(receiver, monkeypatch)
    return spy, receiver.train()


def coeff_keys(name: str) -> list[str]:
    fields = get_trainable_cls(name).config_class.fields_by_key()
    return [key for key, f in fields.items() if f.metadata["coeff"]]


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_t10_8_every_coefficient_reaches_optimiser_loss_and_returns(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutated = {key: COEFFS[key] for key in coeff_keys(name)}
    spy, _ = exploited(name, monkeypatch, **mutated)
    assert spy.updates and spy.orders and spy.returns and spy.steps
    for key, value in mutated.items():
        for handed in (spy.updates[0].coeffs, spy.steps[0], spy.orders[0].coeffs, spy.returns[0]):
            assert handed[key] == value, key
    if name == "DQN":
        assert all(gamma == mutated["gamma"] for _, _, _, gamma, *_ in spy.draws)


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name in sorted(ALGORITHMS) for key in coeff_keys(name)]
)
def test_t10_8_each_alone_leaves_the_others(
    name: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy, _ = exploited(name, monkeypatch, **{key: COEFFS[key]})
    others = small_config(get_trainable_cls(name))
    expected = get_trainable_cls(name).config_class.from_dict(others).coeffs()
    used = {k: v for k, v in spy.steps[0].items() if k in expected}
    assert used == {**expected, key: COEFFS[key]}


Reader = Callable[[Spy, Any], Any]
OTHERS: list[tuple[str, dict[str, Any], Reader, Any]] = [
    ("PPO", {"train_batch_size": 64}, lambda s, a: len(s.updates[0].batch["obs"]), 64),
    ("PG", {"train_batch_size": 200, "rollout_fragment_length": 40},
     lambda s, a: len(s.orders), 5),
    ("PPO", {"sgd_minibatch_size": 16}, lambda s, a: s.updates[0].index.shape[1], 16),
    ("PPO", {"num_sgd_iter": 5}, lambda s, a: s.updates[0].index.size, 5 * 96),
    ("PPO", {"rollout_fragment_length": 24}, lambda s, a: [o.steps for o in s.orders], [24] * 4),
    ("PPO", {"use_gae": False}, lambda s, a: s.returns[0]["lambda"], 1.0),
    ("PPO", {"kl_coeff": 0.3, "kl_target": 1e-9}, lambda s, a: a.adapted["kl_coeff"], 0.3 * 1.5),
    ("PPO", {"metrics_smoothing_episodes": 2}, lambda s, a: len(a.metrics.get_state()["history"]), 2),
    ("DQN", {"train_batch_size": 20}, lambda s, a: s.updates[0].index.shape, (1, 20)),
    ("DQN", {"training_intensity": 48.0}, lambda s, a: s.updates[0].index.shape, (2, 96)),
    ("DQN", {"learning_starts": 150}, lambda s, a: len(s.updates), 24 - (150 - 96) // 4),
    ("DQN", {"n_step": 3}, lambda s, a: s.draws[0][2], 3),
    ("DQN", {"prioritized_replay_beta": 0.7, "final_prioritized_replay_beta": 0.7},
     lambda s, a: s.draws[0][4], 0.7),
    ("DQN", {"prioritized_replay": False}, lambda s, a: len(s.draws[0]), 4),
    ("DQN", {"buffer_size": 120}, lambda s, a: len(a.replay), 120),
    ("DQN", {"target_network_update_freq": 4}, lambda s, a: a.num_target_updates, 1 + 24),
    ("DQN", {"exploration_final_eps": 0.4, "exploration_fraction": 0.0},
     lambda s, a: {o.coeffs["epsilon"] for o in s.orders}, {0.4}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "mutated", "read", "expected"),
    OTHERS,
    ids=lambda v: "+".join(v) if isinstance(v, dict) else None,
)
def test_t10_8_what_is_no_coefficient(
    name: str, mutated: dict[str, Any], read: Reader, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy, _ = exploited(name, monkeypatch, **mutated)
    assert read(spy, spy.algorithm) == expected
