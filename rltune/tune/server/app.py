"""The routes, as an ASGI application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from rltune.tune.server import openapi
from rltune.tune.server.access import AccessCheck
from rltune.tune.server.answers import all_text, answer, one_text, refusal
from rltune.tune.server.board import Board, Event, RunOver
from rltune.tune.server.request_body import BadRequest, action_of, trials_of
from rltune.tune.server.settings import ServerSettings

Handler = Callable[[Request], Awaitable[Response]]

# Silence on /events is broken after this time, so that both sides notice a dead connection.
HEARTBEAT_S = 15.0


def make_app(board: Board, local_dir: str, settings: ServerSettings) -> Starlette:
    """The application over a board; new experiments go under `local_dir`."""
    handlers = _Handlers(board, local_dir, settings)
    return Starlette(
        routes=handlers.routes(),
        middleware=[Middleware(AccessCheck, settings=settings)],
        exception_handlers={
            HTTPException: _on_http_error,
            BadRequest: _on_bad_request,
            RunOver: _on_run_over,
            Exception: _on_fault,
        },
    )


class _Handlers:
    def __init__(self, board: Board, local_dir: str, settings: ServerSettings):
        self._board = board
        self._local_dir = local_dir
        self._settings = settings
        self._hex = settings.hex_pickles
        self._document = json.dumps(openapi.document(bool(settings.token), settings.hex_pickles))

    def routes(self) -> list[Route]:
        on_all = {"GET": self.list_trials, "PUT": self.act_on_all, "POST": self.add_trials}
        return [
            _route("/trials", on_all),
            _route("/trials/", on_all),
            _route("/trials/{trial_id}", {"GET": self.show_trial, "PUT": self.act_on_one}),
            _route("/events", {"GET": self.events}),
            _route("/openapi.json", {"GET": self.describe}),
        ]

    async def list_trials(self, request: Request) -> Response:
        return answer(all_text(self._board.views(), self._hex))

    async def show_trial(self, request: Request) -> Response:
        return self._one(request.path_params["trial_id"])

    async def act_on_all(self, request: Request) -> Response:
        action = action_of(await self._body(request), _content_type(request))
        views = self._board.views()
        self._board.ask(action, [view.id for view in views])
        return answer(all_text(views, self._hex))

    async def act_on_one(self, request: Request) -> Response:
        trial_id = request.path_params["trial_id"]
        response = self._one(trial_id)
        self._board.ask(action_of(await self._body(request), _content_type(request)), [trial_id])
        return response

    async def add_trials(self, request: Request) -> Response:
        body = await self._body(request)
        trials = await run_in_threadpool(trials_of, body, _content_type(request), self._local_dir)
        views = self._board.add(trials)
        return answer(all_text(views, self._hex), 201, {"Location": "/trials/"})

    async def events(self, request: Request) -> Response:
        given = request.headers.get("last-event-id", "")
        if given and not (given.isascii() and given.isdigit() and len(given) < 20):
            raise BadRequest(f"Last-Event-ID: {given!r} is no number of an event.")
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        after = int(given) if given else self._board.last_event()
        return StreamingResponse(
            self._stream(after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def describe(self, request: Request) -> Response:
        return answer(self._document)

    async def _stream(self, after: int) -> AsyncIterator[str]:
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        with self._board.listening(lambda: loop.call_soon_threadsafe(news.set)):
            yield ": the events of a run\n\n"
            while True:
                news.clear()
                events, over = self._board.events_after(after)
                for event in events:
                    yield self._event_text(event)
                    after = event.number
                if over:
                    yield "event: end\ndata: {}\n\n"
                    return
                try:
                    await asyncio.wait_for(news.wait(), HEARTBEAT_S)
                except asyncio.TimeoutError:
                    yield ":\n\n"

    def _event_text(self, event: Event) -> str:
        data = one_text(event.view, self._hex)
        return f"id: {event.number}\nevent: {event.kind}\ndata: {data}\n\n"

    def _one(self, trial_id: str) -> Response:
        view = self._board.view(trial_id)
        if view is None:
            raise HTTPException(404, f"There is no trial {trial_id!r}.")
        return answer(f'{{"trial": {one_text(view, self._hex)}}}')

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._settings.max_body_bytes:
                raise HTTPException(
                    413, f"The body is longer than {self._settings.max_body_bytes} bytes."
                )
        return bytes(body)


def _route(path: str, handlers: Mapping[str, Handler]) -> Route:
    """The handlers of a path by method; GET answers HEAD too, and the body is not sent."""

    async def dispatch(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, dispatch, methods=list(handlers))


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "")


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail, error.headers)


async def _on_bad_request(request: Request, error: Exception) -> Response:
    return refusal(400, str(error))


async def _on_run_over(request: Request, error: Exception) -> Response:
    return refusal(409, str(error))


async def _on_fault(request: Request, error: Exception) -> Response:
    """Starlette raises the error again after this answer, so that it is logged."""
    return refusal(500, f"The server failed: {type(error).__name__}. Its log says more.")
