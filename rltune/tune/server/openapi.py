"""The OpenAPI document of the server. Its schemas are also what requests are checked against."""

from __future__ import annotations

from typing import Any

from rltune.tune.server.board import ACTIONS
from rltune.version import __version__

Schema = dict[str, Any]

# A POST that asks for more trials than this is refused.
MAX_TRIALS = 10_000

_GRID: Schema = {
    "type": "object",
    "properties": {"grid_search": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["grid_search"],
    "additionalProperties": False,
}
_COUNT: Schema = {"type": "integer", "minimum": 0}

SPEC: Schema = {
    "type": "object",
    "description": "As in tune.run_experiments. `grid_search` makes a trial for each value; what "
    "would run code or commands here (eval, loggers, sync commands, restore) is not accepted.",
    "properties": {
        "run": {"anyOf": [{"type": "string"}, _GRID], "description": "A trainable's name."},
        "env": {"type": "string"},
        "config": {"type": "object"},
        "stop": {"type": "object"},
        "resources_per_trial": {"type": "object"},
        "num_samples": {"type": "integer", "minimum": 1, "maximum": MAX_TRIALS},
        "local_dir": {"type": "string", "description": "In the local_dir of the run, the default."},
        "checkpoint_freq": _COUNT,
        "checkpoint_at_end": {"type": "boolean"},
        "keep_checkpoints_num": {"type": "integer", "minimum": 1},
        "checkpoint_score_attr": {"type": "string"},
        "export_formats": {"type": "array", "items": {"enum": ["checkpoint", "model"]}},
        "max_failures": {"type": "integer", "minimum": -1},
    },
    "required": ["run"],
    "additionalProperties": False,
}
EXPERIMENT: Schema = {
    "type": "object",
    "properties": {
        "name": {
            "type": "string",
            "description": "Also of its directory: no slash, no leading dot.",
            "pattern": r"^[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*$",
            "maxLength": 100,
        },
        "spec": SPEC,
    },
    "required": ["name", "spec"],
    "additionalProperties": False,
    "example": {
        "name": "more",
        "spec": {"run": "my_trainable", "config": {"lr": {"grid_search": [0.1, 0.01]}}},
    },
}
ACTION: Schema = {
    "type": "object",
    "properties": {"action": {"enum": list(ACTIONS)}},
    "required": ["action"],
    "additionalProperties": False,
}


def document(protected: bool, hex_pickles: bool) -> Schema:
    """The document of a server that wants a token or not, and sends hex pickles or not."""
    value: Schema = {"type": "object"}
    if hex_pickles:
        value = {"type": "string", "description": "cloudpickle as hex. Unpickling it is unsafe."}
    schemas = {"Trial": _trial(value), "Experiment": EXPERIMENT, "Action": ACTION}
    schemas["Error"] = _object({"error": {"type": "string"}})
    document: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "rltune: the trials of a run",
            "version": __version__,
            "description": "Requests act between two steps of the run: stopping or pausing a "
            "trial that runs takes up to one of its iterations.",
        },
        "paths": _paths(),
        "components": {"schemas": schemas},
    }
    if protected:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _paths() -> Schema:
    trials = _object({"trials": {"type": "array", "items": _ref("Trial")}})
    trial = _object({"trial": _ref("Trial")})
    act: Schema = {"requestBody": _body("Action", required=False)}
    trial_id = {"name": "trial_id", "in": "path", "required": True, "schema": {"type": "string"}}
    last_id = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer"}}
    return {
        "/trials": {
            "get": _operation("All trials, in order of creation.", _json(trials)),
            "head": _operation("Whether the server is there.", {}),
            "put": _operation(
                "Acts on all trials; without a body: stops them.",
                _json(trials),
                refusals=(400, 409, 413),
                **act,
            ),
            "post": _operation(
                "Adds an experiment's trials to the run.",
                _json(trials) | {"headers": {"Location": {"schema": {"type": "string"}}}},
                status=201,
                refusals=(400, 409, 413),
                requestBody=_body("Experiment", required=True),
            ),
        },
        "/trials/{trial_id}": {
            "parameters": [trial_id],
            "get": _operation("One trial.", _json(trial), refusals=(404,)),
            "head": _operation("Whether there is such a trial.", {}, refusals=(404,)),
            "put": _operation(
                "Acts on a trial; without a body: stops it.",
                _json(trial),
                refusals=(400, 404, 409, 413),
                **act,
            ),
        },
        "/events": {
            "get": _operation(
                "Server-sent events while the run goes on: `status` and `result`, each with the "
                "trial as data, and `end`. Last-Event-ID asks for what came after that event.",
                {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
                refusals=(400,),
                parameters=[last_id],
            )
        },
        "/openapi.json": {"get": _operation("This document.", _json({"type": "object"}))},
    }


def _trial(value: Schema) -> Schema:
    states = ["PENDING", "RUNNING", "PAUSED", "TERMINATED", "ERROR"]
    return _object(
        {
            "id": {"type": "string"},
            "trainable_name": {"type": "string"},
            "config": value,
            "status": {"enum": states},
            "result": value | {"description": "The last one; empty before it."},
        }
    )


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}


def _body(name: str, required: bool) -> Schema:
    """JSON, or the same as form fields, an object among them as JSON text."""
    kinds = ("application/json", "application/x-www-form-urlencoded")
    return {"required": required, "content": {kind: {"schema": _ref(name)} for kind in kinds}}


def _operation(
    summary: str, response: Schema, status: int = 200, refusals: tuple[int, ...] = (), **more: Any
) -> Schema:
    """401 and 403 are of every operation: token, Host and Origin."""
    refused = {
        str(code): {"description": "Refused; says why.", **_json(_ref("Error"))}
        for code in (*refusals, 401, 403)
    }
    done = {str(status): {"description": summary, **response}}
    return {"summary": summary, "responses": {**done, **refused}, **more}
