"""Who is let in: checked for every request, whatever its method and path."""

from __future__ import annotations

import hmac
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rltune.tune.server.answers import refusal
from rltune.tune.server.settings import ServerSettings

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:/@\s]+))(?::[0-9]+)?", re.IGNORECASE)


class AccessCheck:
    """ASGI middleware: 403 for a Host that is not the server's and for a page of another origin,
    401 without the token.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings):
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._refusal(Headers(scope=scope))
        await (response or self._app)(scope, receive, send)

    def _refusal(self, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        match = _HOST.fullmatch(host)
        name = (match[1] or match[2]).lower() if match else ""
        if not name or not self._settings.knows_host(name):
            return refusal(403, f"The host {host!r} is not this server.")
        origin = headers.get("origin")
        if origin is not None and not _is_same(origin, host):
            return refusal(403, f"A page of {origin!r} may not use this server.")
        token = self._settings.token
        if token and not _has_token(headers.get("authorization", ""), token):
            message = "The header Authorization: Bearer <token> is missing or wrong."
            return refusal(401, message, {"WWW-Authenticate": "Bearer"})
        return None


def _is_same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _has_token(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return scheme.lower() == "bearer" and same
