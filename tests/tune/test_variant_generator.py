"""Search spaces: T1.7, T1.8, T1.9, and the tags of T6.1."""

from __future__ import annotations

from typing import Any

import cloudpickle
import numpy as np
import pytest

from rltune.tune import sample
from rltune.tune.error import TuneError
from rltune.tune.sample import choice, function, grid_search, randint, randn, sample_from, uniform
from rltune.tune.suggest.variant_generator import (
    RecursiveDependencyError,
    format_vars,
    generate_variants,
)


def configs(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [spec["config"] for _, spec in generate_variants({"run": "f", "config": config})]


def tags(config: dict[str, Any]) -> list[str]:
    return [format_vars(variables) for variables, _ in generate_variants({"config": config})]


def test_t1_7_first_axis_by_path_varies_fastest() -> None:
    found = configs({"foo": grid_search([1, 2, 3]), "bar": grid_search([True, False])})
    expected = [(True, 1), (False, 1), (True, 2), (False, 2), (True, 3), (False, 3)]
    assert [(c["bar"], c["foo"]) for c in found] == expected


def test_t1_7_grids_inside_lists_and_dicts() -> None:
    sizes = [16, 64, 256]
    found = configs({"net": {"layers": [grid_search(sizes), {"grid_search": sizes}]}})
    assert {tuple(c["net"]["layers"]) for c in found} == {(a, b) for a in sizes for b in sizes}
    assert len(found) == 9


def test_t1_7_list_indices_sort_as_numbers() -> None:
    layers: list[Any] = [0] * 11
    layers[2] = layers[10] = grid_search([1, 2])
    found = [(c["layers"][2], c["layers"][10]) for c in configs({"layers": layers})]
    assert found == [(1, 1), (2, 1), (1, 2), (2, 2)]


def test_t1_7_grid_values_may_be_unresolved() -> None:
    found = configs(
        {
            "a": grid_search([1, sample_from(lambda spec: spec.config.b * 2), grid_search([7, 8])]),
            "b": 5,
        }
    )
    assert [c["a"] for c in found] == [1, 10, 7, 8]


@pytest.mark.parametrize("values", [3, "abc", (1, 2), [], None])
def test_t1_7_a_grid_is_a_list(values: Any) -> None:
    with pytest.raises(TuneError, match="list"):
        grid_search(values)
    with pytest.raises(TuneError, match="list"):
        configs({"x": {"grid_search": values}})


def test_t1_7_unresolved_values_in_a_tuple_are_refused() -> None:
    with pytest.raises(TuneError, match=r"config\.shape: use a list"):
        configs({"shape": (grid_search([1]), 2)})
    assert configs({"shape": (1, 2)}) == [{"shape": (1, 2)}]


def test_t1_8_depends_on_a_grid_value() -> None:
    found = configs({"y": sample_from(lambda s: s.config.x * 100), "x": grid_search([1, 2])})
    assert [(c["x"], c["y"]) for c in found] == [(1, 100), (2, 200)]


def test_t1_8_chains_resolve_in_any_order() -> None:
    def plus_one(name: str) -> sample_from:
        return sample_from(lambda spec: spec["config"][name] + 1)

    [config] = configs({"z": plus_one("y"), "y": plus_one("x"), "x": 1})
    assert config == {"x": 1, "y": 2, "z": 3}
    chain = {f"v{i:02}": plus_one(f"v{i + 1:02}") for i in range(40)}
    [config] = configs({**chain, "v40": 0})
    assert config["v00"] == 40


def test_t1_8_a_drawn_value_may_be_a_grid_that_others_use() -> None:
    found = configs(
        {
            "a": sample_from(lambda _: grid_search([1, 2])),
            "b": sample_from(lambda s: s.config.a + 1),
        }
    )
    assert [(c["a"], c["b"]) for c in found] == [(1, 2), (2, 3)]


def test_t1_8_lists_and_dicts_can_be_read_and_handed_on() -> None:
    space = {
        "layers": [grid_search([4, 8]), sample_from(lambda s: s.config.layers[0] // 2)],
        "copy": sample_from(lambda s: {"of": s.config.net, "last": list(s.config.layers)[-1]}),
        "net": {"units": sample_from(lambda _: 3)},
    }
    found = configs(space)
    assert [c["layers"] for c in found] == [[4, 2], [8, 4]]
    assert found[0]["copy"] == {"of": {"units": 3}, "last": 2}
    assert type(found[0]["copy"]["of"]) is dict


@pytest.mark.parametrize(
    "space",
    [
        {"foo": sample_from(lambda s: s.config.foo)},
        {"foo": sample_from(lambda s: s.config.bar), "bar": sample_from(lambda s: s.config.foo)},
        {"ok": sample_from(lambda _: 1), "foo": {"eval": "spec.config.foo + spec.config.ok"}},
    ],
)
def test_t1_8_cycles(space: dict[str, Any]) -> None:
    with pytest.raises(RecursiveDependencyError, match="`(foo|bar)` recursively depends on"):
        configs(space)


def test_t1_8_a_value_that_never_resolves() -> None:
    endless = sample_from(lambda _: endless)
    with pytest.raises(RecursiveDependencyError, match="`foo` recursively depends on"):
        configs({"foo": endless})


def test_t1_8_an_error_names_its_path_and_keeps_its_cause() -> None:
    def broken(spec: Any) -> float:
        return 1 / 0

    with pytest.raises(ValueError, match=r"config\.net\.lr .*ZeroDivisionError.*tune\.function"):
        configs({"net": {"lr": sample_from(broken)}})
    with pytest.raises(ValueError, match="did you mean 'alpha'") as caught:
        configs({"alpha": 1, "b": sample_from(lambda s: s.config.alhpa)})
    assert isinstance(caught.value.__cause__, AttributeError)


def test_t1_8_eval_expressions() -> None:
    [config] = configs(
        {"a": {"eval": "spec.config.b + np.float64(1)"}, "b": {"eval": "random.randint(3, 3)"}}
    )
    assert config == {"a": 4.0, "b": 3}


def test_t1_8_a_bare_function_is_refused() -> None:
    with pytest.raises(TuneError, match=r"config\.f .*tune\.function.*tune\.sample_from"):
        configs({"f": lambda: 0})
    [config] = configs({"f": function(max)})
    assert config["f"](2, 3) == 3


def test_functions_outside_the_config_are_left_alone() -> None:
    [(_, spec)] = generate_variants({"config": {}, "trial_name_creator": str.upper, "f": configs})
    assert spec["f"] is configs


def test_t1_8_samplers_are_numpy_s() -> None:
    space = {
        "u": uniform(1, 2),
        "i": randint(5, 7),
        "n": randn(2),
        "c": choice([1, "a", None]),
        "k": choice(3),
        "m": choice(["x", "y"], 2, replace=False),
    }
    np.random.seed(3)
    [config] = configs(space)
    np.random.seed(3)
    assert config["u"] == np.random.uniform(1, 2)
    assert config["i"] == np.random.randint(5, 7)
    assert config["n"].tolist() == np.random.randn(2).tolist()
    assert config["c"] == [1, "a", None][np.random.choice(3)]
    assert config["k"] == np.random.choice(3)
    assert config["m"] == np.random.choice(["x", "y"], 2, replace=False).tolist()
    assert type(config["i"]) is int


def test_t1_8_choice_keeps_the_types_of_its_elements() -> None:
    drawn = [configs({"c": choice([1, "a"])})[0]["c"] for _ in range(40)]
    assert {type(value) for value in drawn} == {int, str}


def test_samplers_travel_between_processes() -> None:
    space = cloudpickle.loads(cloudpickle.dumps({"u": uniform(1, 2), "f": function(max)}))
    assert 1 <= configs(space)[0]["u"] <= 2


def test_t1_9_every_variant_draws_afresh() -> None:
    space = {"a": grid_search([1, 2, 3]), "b": grid_search([1, 2, 3]), "alpha": uniform(0, 1)}
    found = [config for _ in range(10) for config in configs(space)]
    assert len({c["alpha"] for c in found}) == len(found) == 90


def test_t1_10_variants_share_no_containers() -> None:
    spec = {"config": {"x": grid_search([{"deep": []}, {"deep": []}]), "y": {"z": []}}}
    one, two = (spec["config"] for _, spec in generate_variants(spec))
    one["y"]["z"].append(1)
    one["x"]["deep"].append(1)
    assert two == {"x": {"deep": []}, "y": {"z": []}}
    assert spec["config"]["y"] == {"z": []}


def test_t6_1_tags() -> None:
    assert tags({"lr": grid_search([0.123456789]), "a": {"b": sample_from(lambda _: "x/y")}}) == [
        "b=x_y,lr=0.12346"
    ]
    assert tags({"nn_layers": [grid_search([16]), 3, {"act": grid_search(["relu"])}]}) == [
        "nn_layers_0=16,act=relu"
    ]
    assert tags({"lr": sample_from(lambda _: np.float32(1e-5))}) == ["lr=1e-05"]
    assert tags({}) == [""]


def test_t6_1_run_env_and_resources_are_not_in_the_tag() -> None:
    spec = {"env": grid_search(["a", "b"]), "resources_per_trial": {"cpu": grid_search([1])}}
    assert [format_vars(variables) for variables, _ in generate_variants(spec)] == ["", ""]


def test_reprs_are_readable() -> None:
    assert repr(randn(2)) == "tune.sample_from(randn(2,))"
    with pytest.raises(TuneError, match="takes a function"):
        sample.function(3)  # type: ignore[arg-type]
