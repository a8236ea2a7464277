"""Registration by name (T1.5) and what is found without it (T13.1)."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rltune import registry
from rltune.trainable import Trainable


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"_values": {}, "_pickles": {}, "_snapshot": None}.items():
        monkeypatch.setattr(registry, name, value)
    yield


class First(Trainable):
    pass


class Second(Trainable):
    pass


def test_t1_5_a_name_can_be_given_anew() -> None:
    registry.register_trainable("it", First)
    registry.snapshot()
    registry.register_trainable("it", Second)
    assert registry.get_trainable_cls("it") is Second
    registry.install(registry.snapshot())
    assert registry.get_trainable_cls("it") is Second


@pytest.mark.parametrize("wrong", [dict, First(), 5])
def test_t1_5_what_is_no_trainable(wrong: Any) -> None:
    with pytest.raises(TypeError):
        registry.register_trainable("it", wrong)


def test_t1_5_any_callable_is_a_function_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    class Callable:
        def __call__(self, config: Any, reporter: Any) -> None: ...

    registry.register_trainable("it", Callable())
    assert "no plain function" in caplog.text


def test_t1_5_env_creators_are_called() -> None:
    with pytest.raises(TypeError):
        registry.register_env("e", 2)  # type: ignore[arg-type]
    registry.register_env("e", lambda config: ("env", config))
    creator = registry.get_env_creator("e")
    assert creator is not None and creator({"x": 1}) == ("env", {"x": 1})
    assert registry.get_env_creator("other") is None


def test_t1_5_categories_are_closed() -> None:
    with pytest.raises(ValueError, match="trainable_class, env_creator"):
        registry.register("other", "x", 1)


def test_t1_5_entries_travel_to_another_process(tmp_path: Path) -> None:
    captured = 42
    registry.register_trainable("it", lambda config, reporter: captured)
    registry.register_env("env", First)
    file = tmp_path / "snapshot"
    file.write_bytes(registry.snapshot())
    code = (
        "import sys; from rltune import registry\n"
        "registry.install(open(sys.argv[1], 'rb').read())\n"
        "print(registry.get_trainable_cls('it')(None, None))"
    )
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr


def test_t1_5_an_entry_that_cannot_travel_is_named() -> None:
    lock = threading.Lock()
    registry.register_trainable("holds_a_lock", lambda config, reporter: lock)
    with pytest.raises(TypeError, match="'holds_a_lock'.*cannot be sent"):
        registry.snapshot()


def test_t1_5_taking_over_does_not_unpickle() -> None:
    registry.register_env("bomb", _Bomb())
    data = registry.snapshot()
    registry.install(data)
    with pytest.raises(RuntimeError, match="unpickled"):
        registry.get_env_creator("bomb")


class _Bomb:
    def __call__(self, config: Any) -> None: ...

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    raise RuntimeError("unpickled")


def test_t13_1_algorithms_are_found_by_name() -> None:
    for name in ("PG", "PPO", "DQN"):
        cls = registry.get_trainable_cls(name)
        assert issubclass(cls, Trainable) and cls.__name__ == name


def test_t13_1_an_unknown_name_gets_the_nearest() -> None:
    registry.register_trainable("my_function", lambda config, reporter: None)
    with pytest.raises(registry.UnknownTrainable, match="Unknown trainable: my_fnction. .*my_func"):
        registry.get_trainable_cls("my_fnction")
    with pytest.raises(registry.UnknownTrainable, match="mean PPO"):
        registry.get_trainable_cls("PPOO")
