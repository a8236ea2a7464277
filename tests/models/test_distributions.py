"""Action distributions: densities against torch's, samples against their probabilities."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rltune.models.distributions import (
    Categorical,
    DiagGaussian,
    Distribution,
    EpsilonGreedy,
    MultiCategorical,
    make_distribution,
)
from tests.bindings import ALL, ops_of, tensor

ROWS = 20000
LOGITS = np.log(np.array([0.1, 0.2, 0.7], np.float32))
BINDINGS = ("numpy", *ALL)


def densities(
    binding: str, made: Any, inputs: np.ndarray, other: np.ndarray, actions: np.ndarray
) -> list[np.ndarray]:
    """logp, entropy and kl on a binding."""
    ops = ops_of(binding)
    inputs, other, actions = (tensor(binding, a) for a in (inputs, other, actions))
    got = [made.logp(ops, inputs, actions), made.entropy(ops, inputs), made.kl(ops, inputs, other)]
    return [np.asarray(value) for value in got]


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("binding", BINDINGS)
def test_categorical_densities(binding: str) -> None:
    torch = pytest.importorskip("torch")
    inputs, other = 3 * normal(0, 9, 4), normal(1, 9, 4)
    actions = np.arange(9) % 4
    ours = densities(binding, Categorical(4), inputs, other, actions)
    p, q = (torch.distributions.Categorical(logits=torch.from_numpy(x)) for x in (inputs, other))
    theirs = [
        p.log_prob(torch.from_numpy(actions)),
        p.entropy(),
        torch.distributions.kl_divergence(p, q),
    ]
    for got, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("binding", BINDINGS)
def test_multi_categorical_densities_add_up(binding: str) -> None:
    sizes = [2, 4, 3]
    inputs, other = 3 * normal(2, 6, 9), normal(3, 6, 9)
    actions = np.stack([np.arange(6) % n for n in sizes], -1)
    whole = densities(binding, MultiCategorical(sizes), inputs, other, actions)
    cuts = [slice(0, 2), slice(2, 6), slice(6, 9)]
    parts = [
        densities(binding, Categorical(n), inputs[:, cut], other[:, cut], actions[:, i])
        for i, (n, cut) in enumerate(zip(sizes, cuts, strict=True))
    ]
    for got, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(got, sum(pieces), rtol=1e-6)


@pytest.mark.parametrize("binding", BINDINGS)
def test_gaussian_densities(binding: str) -> None:
    torch = pytest.importorskip("torch")
    inputs, other, actions = normal(4, 8, 6), normal(5, 8, 6), 2 * normal(6, 8, 3)
    ours = densities(binding, DiagGaussian(3), inputs, other, actions)
    p, q = (
        torch.distributions.Independent(
            torch.distributions.Normal(
                torch.from_numpy(x[:, :3]), torch.from_numpy(np.exp(x[:, 3:]))
            ),
            1,
        )
        for x in (inputs, other)
    )
    theirs = [
        p.log_prob(torch.from_numpy(actions)),
        p.entropy(),
        torch.distributions.kl_divergence(p, q),
    ]
    for got, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("binding", BINDINGS)
def test_extreme_logits_stay_finite(binding: str) -> None:
    inputs = np.array([[0, 1e4, -1e4], [-1e4, -1e4, -1e4], [88, -88, 0]], np.float32)
    logp, entropy, kl = densities(binding, Categorical(3), inputs, inputs, np.array([2, 0, 0]))
    np.testing.assert_allclose(logp, [-2e4, -np.log(3), 0], atol=1e-6)
    np.testing.assert_allclose(entropy, [0, np.log(3), 0], atol=1e-6)
    np.testing.assert_array_equal(kl, 0)


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_distribution_diverges_from_others_only(binding: str) -> None:
    cases: list[tuple[Any, np.ndarray, np.ndarray]] = [
        (Categorical(4), normal(0, 5, 4), np.zeros(5, np.int64)),
        (MultiCategorical([2, 2]), normal(0, 5, 4), np.zeros((5, 2), np.int64)),
        (DiagGaussian(2), normal(0, 5, 4), np.zeros((5, 2), np.float32)),
    ]
    for made, inputs, actions in cases:
        kl = densities(binding, made, inputs, inputs, actions)[2]
        np.testing.assert_allclose(kl, 0, atol=1e-6)
        away = densities(binding, made, inputs, inputs + normal(9, 5, 4), actions)[2]
        assert (away > 0).all()


def sampled(made: Distribution, row: np.ndarray, exploration: float = 1.0) -> np.ndarray:
    noise = made.noise(np.random.default_rng(0), ROWS)
    assert noise.shape == (ROWS, made.noise_size)
    assert noise.dtype == np.float32
    return made.sample(np.tile(row, (ROWS, 1)), noise, exploration)


def frequencies(actions: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(actions, minlength=n) / len(actions)


def test_categorical_samples_as_often_as_it_says() -> None:
    actions = sampled(Categorical(3), LOGITS + 5)
    assert np.issubdtype(actions.dtype, np.integer)
    np.testing.assert_allclose(frequencies(actions, 3), [0.1, 0.2, 0.7], atol=0.015)


def test_multi_categorical_parts_are_independent() -> None:
    actions = sampled(MultiCategorical([3, 2]), np.concatenate([LOGITS, np.zeros(2, np.float32)]))
    assert actions.shape == (ROWS, 2)
    joint = frequencies(actions[:, 0] * 2 + actions[:, 1], 6)
    np.testing.assert_allclose(joint, [0.05, 0.05, 0.1, 0.1, 0.35, 0.35], atol=0.015)


def test_gaussian_samples_have_their_moments() -> None:
    actions = sampled(DiagGaussian(2), np.array([1.0, -2.0, 0.0, np.log(3)], np.float32))
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions.mean(0), [1, -2], atol=0.08)
    np.testing.assert_allclose(actions.std(0), [1, 3], atol=0.08)
    assert abs(np.corrcoef(actions.T)[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("logits", "noise", "action"),
    [
        ([0.0, 0.0], [0.1, 0.0], 0),
        ([0.0, 0.0], [-0.1, 0.0], 1),
        ([1.0, 0.0], [-0.9, 0.0], 0),
        # What has no probability is never picked, at the noise's ends either.
        ([-1e4, 0.0, 0.0], [88, -5, -4.9], 2),
        ([-np.inf, 0.0, 0.0], [88, -5, -4.9], 2),
        ([0.0, 0.0, -100.0], [-4.9, -5, 88], 0),
        ([-1e4, 0.0, -1e4], [88, -5, 88], 1),
        ([0.1, 0.2, -1e4, -1e4], [0, 0, 88, 88], 1),
        ([1e4, -1e4, 0.0], [-5, 88, 88], 0),
    ],
)
def test_the_largest_of_logit_plus_noise(
    logits: list[float], noise: list[float], action: int
) -> None:
    row, drawn = np.array([logits], np.float32), np.array([noise], np.float32)
    assert Categorical(len(logits)).sample(row, drawn, 1.0).tolist() == [action]
    pair = MultiCategorical([len(logits), 2])
    more = np.array([[0.0, 1.0]], np.float32)
    got = pair.sample(np.hstack([row, more]), np.hstack([drawn, -3 * more]), 1.0)
    assert got.tolist() == [[action, 0]]


def test_the_noise_stays_between_its_ends() -> None:
    """Of an exponential number that is 0 as well, which single precision may bring."""
    noise = Categorical(100).noise(np.random.default_rng(0), 50_000)
    assert -5 < noise.min() < -2 and 12 < noise.max() < 88

    class Zero(np.random.Generator):
        def standard_exponential(self, *shape_and_type: Any) -> Any:
            return np.zeros(*shape_and_type)

    assert 80 < float(Categorical(1).noise(Zero(np.random.PCG64(0)), 1)[0, 0]) < 88


def test_modes() -> None:
    inputs = np.array([[0.0, 2.0, 1.0, -1.0], [3.0, 2.0, 1.0, 9.0]], np.float32)
    assert Categorical(4).mode(inputs).tolist() == [1, 3]
    assert EpsilonGreedy(4).mode(inputs).tolist() == [1, 3]
    assert MultiCategorical([3, 1]).mode(inputs).tolist() == [[1, 0], [0, 0]]
    assert MultiCategorical([2, 2]).mode(inputs).tolist() == [[1, 0], [0, 1]]
    assert DiagGaussian(2).mode(inputs).tolist() == [[0, 2], [3, 2]]


def test_epsilon_greedy() -> None:
    q = np.array([0.0, 5.0, 1.0], np.float32)
    assert set(sampled(EpsilonGreedy(3), q, 0.0)) == {1}
    np.testing.assert_allclose(frequencies(sampled(EpsilonGreedy(3), q, 1.0), 3), 1 / 3, atol=0.015)
    mixed = frequencies(sampled(EpsilonGreedy(3), q, 0.3), 3)
    np.testing.assert_allclose(mixed, [0.1, 0.8, 0.1], atol=0.015)


@pytest.mark.parametrize(
    ("noise", "exploration", "action"),
    [
        ([0.0, 0.0], 0.0, 1),  # epsilon 0: never at random, not even at noise 0
        ([1 - 2**-24, 0.99], 1.0, 2),  # epsilon 1: always
        ([0.3, 0.99], 0.3, 1),
        ([0.29, 0.0], 0.3, 0),
        ([0.0, 1 - 2**-24], 1.0, 2),
    ],
)
def test_epsilon_greedy_on_the_edges(noise: list[float], exploration: float, action: int) -> None:
    q = np.array([[0.0, 5.0, 1.0]], np.float32)
    got = EpsilonGreedy(3).sample(q, np.array([noise], np.float32), exploration)
    assert got.tolist() == [action]


@pytest.mark.parametrize(
    ("space", "kind", "inputs", "noise"),
    [
        (gym.spaces.Discrete(4), Categorical, 4, 4),
        (gym.spaces.MultiDiscrete([2, 3]), MultiCategorical, 5, 5),
        (gym.spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])), MultiCategorical, 14, 14),
        (gym.spaces.Box(-1, 1, (2, 3)), DiagGaussian, 12, 6),
        (gym.spaces.Box(-1, 1, ()), DiagGaussian, 2, 1),
    ],
)
def test_the_distribution_of_a_space(space: Any, kind: type, inputs: int, noise: int) -> None:
    made = make_distribution(space)
    assert type(made) is kind
    assert (made.num_inputs, made.noise_size) == (inputs, noise)
