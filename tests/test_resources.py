"""Resource requests (T3.1)."""

from __future__ import annotations

import pytest

from rltune.resources import Resources, json_to_resources, resources_to_json


def test_t3_1_defaults_of_a_dict() -> None:
    assert json_to_resources({"gpu": 0.2}) == Resources(cpu=1, gpu=0.2)
    assert json_to_resources({"cpu": 2}) == Resources(cpu=2, gpu=0)
    assert json_to_resources(None) is None


def test_t3_1_custom_resources_are_padded() -> None:
    resources = Resources(1, 0, custom_resources={"a": 1}, extra_custom_resources={"b": 2})
    assert resources.custom_resources == {"a": 1, "b": 0}
    assert resources.extra_custom_resources == {"a": 0, "b": 2}
    assert resources.totals() == {"CPU": 1, "a": 1, "b": 2}


def test_t3_1_only_numbers() -> None:
    with pytest.raises(AssertionError):
        Resources("1", 0)  # type: ignore[arg-type]


def test_t3_1_an_unknown_key_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="'cpus'.*cpu, gpu, extra_cpu"):
        json_to_resources({"cpus": 1})
    with pytest.raises(ValueError, match="extra_cpu and extra_gpu"):
        json_to_resources({"driver_cpu_limit": 1})


def test_t3_1_as_json_and_back() -> None:
    resources = Resources(1, 0.5, 2, 0, {"a": 1})
    assert json_to_resources(resources_to_json(resources)) == resources


def test_the_parts_of_a_request() -> None:
    resources = Resources(1, 0.5, 2, 0, {"a": 1}, {"b": 2})
    assert resources.own_bundle() == {"CPU": 1, "GPU": 0.5, "a": 1}
    assert resources.extra_bundle() == {"CPU": 2, "b": 2}
    assert resources.has_extra() and not Resources(1, 1).has_extra()
    assert resources.summary_string() == "3 CPUs, 0.5 GPUs, 1 a, 2 b"
