"""What the server says: JSON, and errors as `{"error": ...}`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from rltune.tune.server.board import TrialView

MAX_ERROR_LENGTH = 1000


def answer(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response of JSON text."""
    return Response(text, status, headers, media_type="application/json")


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error. JSON in ASCII holds any text that a client may have sent and gets back."""
    return answer(json.dumps({"error": message[:MAX_ERROR_LENGTH]}), status, headers)


def one_text(view: TrialView, hex_pickles: bool) -> str:
    """A trial as JSON; with its config and result as 0.7 sent them, if wanted."""
    return json.dumps(view.to_dict(_hex_pickle)) if hex_pickles else view.json


def all_text(views: Iterable[TrialView], hex_pickles: bool) -> str:
    return f'{{"trials": [{", ".join(one_text(view, hex_pickles) for view in views)}]}}'


def _hex_pickle(value: Any) -> str:
    import cloudpickle

    pickled: bytes = cloudpickle.dumps(value)
    return pickled.hex()
