"""From the body of a request to what it asks for. Whatever is wrong with it is a BadRequest."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from rltune.config import nearest
from rltune.resources import Resources
from rltune.tune.experiment import Experiment
from rltune.tune.server.openapi import ACTION, EXPERIMENT, MAX_TRIALS, Schema
from rltune.tune.suggest import BasicVariantGenerator
from rltune.tune.trial import Trial

FORM = "application/x-www-form-urlencoded"
MAX_DEPTH = 50
MAX_FIELDS = 10
NO_CUSTOM_RESOURCES = {"", "CPU", "GPU", "memory", "object_store_memory"}

# JSON Schema takes 2.0 for an integer; Python does not where it counts.
_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda checker, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


class BadRequest(Exception):
    """The client's mistake, as a message for it that names the key."""


def action_of(body: bytes, content_type: str) -> str:
    """What a PUT asks for; "stop" without a body."""
    if not body:
        return "stop"
    data = _parse(body, content_type)
    _check(ACTION, data)
    return str(data["action"])


def trials_of(body: bytes, content_type: str, local_dir: str) -> list[Trial]:
    """The trials that a POST asks for, by default under `local_dir`. Nothing is started."""
    data = _parse(body, content_type)
    if isinstance(data, dict) and isinstance(data.get("spec"), str):  # a form's field
        data["spec"] = _json(data["spec"], "spec")
    for path, value in _walk(data):
        _check_value(path, value)
    _check(EXPERIMENT, data)
    name, spec = data["name"], data["spec"]
    if not name.isprintable():
        raise BadRequest(f"name: {name!r} is no name of a directory.")
    count = _grid_size(spec) * spec.get("num_samples", 1)
    if count > MAX_TRIALS:
        raise BadRequest(f"spec: {count} trials are too many, at most {MAX_TRIALS} can be added.")
    spec = {**spec, "local_dir": _inside(spec.get("local_dir"), local_dir)}
    generator = BasicVariantGenerator()
    try:
        generator.add_configurations([Experiment.from_json(name, spec)])
        trials = generator.next_trials()
    except Exception as error:  # the trainable's own code has a say: what it raises is an answer
        raise BadRequest(f"spec: {type(error).__name__}: {error}") from error
    for trial in trials:
        _check_resources(trial.resources)
    return trials


def _parse(body: bytes, content_type: str) -> Any:
    """A form, or JSON whatever the content type: `curl -d` calls everything a form."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is no UTF-8: {error}") from None
    if not content_type.lower().startswith(FORM) or text.lstrip()[:1] in ("{", "["):
        return _json(text, "The body")
    try:
        fields = parse_qsl(text, True, True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise BadRequest(f"The body is no form: {error}") from None
    return dict(fields)


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{where} is no JSON: {error}") from None


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _walk(node: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every key and value with the dotted path to it."""
    if depth > MAX_DEPTH:
        raise BadRequest(f"{path[:100]}...: nested too deeply, at most {MAX_DEPTH} levels.")
    yield path, node
    children: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(node, dict):
        children = iter(node.items())
    elif isinstance(node, list):
        children = ((str(index), value) for index, value in enumerate(node))
    for key, value in children:
        inner = f"{path}.{key}" if path else key
        yield inner, key
        yield from _walk(value, inner, depth + 1)


def _check_value(path: str, value: Any) -> None:
    """What a schema cannot say: text that is no Unicode, numbers too large for a float, and
    expressions, since the server runs no code that a client sends.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadRequest(f"{path!r}: a surrogate is no character.") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest(f"{path}: a number that is too large.")
    if isinstance(value, dict) and set(value) == {"eval"} and isinstance(value["eval"], str):
        raise BadRequest(f"{path}: eval is not accepted from clients; use grid_search or a value.")


def _check_resources(resources: Resources) -> None:
    """What Ray would refuse only when the trial starts."""
    own, extra = resources.custom_resources, resources.extra_custom_resources
    if reserved := sorted(NO_CUSTOM_RESOURCES & {*own, *extra}):
        raise BadRequest(f"spec.resources_per_trial: {reserved[0]!r} is no custom resource.")
    gpus = [resources.gpu, resources.extra_gpu]
    amounts = [resources.cpu, resources.extra_cpu, *gpus, *own.values(), *extra.values()]
    for amount in amounts:
        if amount < 0 or amount != round(amount, 4):
            raise BadRequest(f"spec.resources_per_trial: {amount} is no multiple of 0.0001.")
    if any(amount > 1 and amount != int(amount) for amount in gpus):
        raise BadRequest("spec.resources_per_trial: more than one GPU are a whole number of them.")


def _check(schema: Schema, data: Any) -> None:
    """Raises BadRequest with all that does not fit."""
    problems = []
    for error in _Validator(schema).iter_errors(data):
        where = ".".join(map(str, error.absolute_path)) or "The body"
        message, hint = error.message, ""
        if error.validator == "pattern":
            message = f"{error.instance!r} is no name. {error.schema['description']}"
        if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
            known = error.schema["properties"]
            near = [nearest(key, known) for key in error.instance if key not in known]
            hint = "".join(f" Did you mean {name!r}?" for name in near if name)
        problems.append(f"{where}: {message.rstrip('.')}.{hint}")
    if problems:
        raise BadRequest(" ".join(problems))


def _grid_size(node: Any) -> int:
    """The number of variants of a nested value."""
    if isinstance(node, dict) and len(node) == 1 and isinstance(node.get("grid_search"), list):
        return sum(map(_grid_size, node["grid_search"]))
    if isinstance(node, dict):
        return math.prod(map(_grid_size, node.values()))
    return math.prod(map(_grid_size, node)) if isinstance(node, list) else 1


def _inside(given: str | None, local_dir: str) -> str:
    """The directory that the client gives, if it lies in that of the run."""
    if given is None:
        return local_dir
    path = os.path.abspath(os.path.expanduser(given))
    if os.path.commonpath([path, os.path.abspath(local_dir)]) != os.path.abspath(local_dir):
        raise BadRequest(f"spec.local_dir: {given!r} is outside {local_dir}, that of the run.")
    return path
