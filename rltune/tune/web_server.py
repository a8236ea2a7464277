"""TuneServer and TuneClient: seeing and steering a run over HTTP."""

from __future__ import annotations

import socket
import threading

from rltune.tune.error import TuneError
from rltune.tune.server.board import Board
from rltune.tune.server.client import TuneClient
from rltune.tune.server.settings import ServerSettings

__all__ = ["ServerSettings", "TuneClient", "TuneServer"]

# Connections that are still busy at the end of the run have this long.
CLOSING_S = 2


class TuneServer:
    """Serves a board over HTTP, on a thread of its own, while it is entered as a context.

    Entering it raises OSError if the port is taken; `port` is then the one it listens at.

    Args:
        board: what clients see, and where their requests go.
        port: where to listen; 0 takes a free one.
        local_dir: where the experiments go that clients add.
        settings: the address, and whom it lets in.

    Raises TuneError if a package is missing.
    """

    def __init__(
        self,
        board: Board,
        port: int,
        local_dir: str,
        settings: ServerSettings | None = None,
    ):
        settings = settings or ServerSettings()
        try:
            import uvicorn

            from rltune.tune.server.app import make_app
        except ImportError as error:
            raise TuneError(
                f"with_server needs {error.name}: pip install 'rltune[server]'"
            ) from error
        self.board = board
        self.port = port
        self._host = settings.host
        self._server = uvicorn.Server(
            uvicorn.Config(
                make_app(board, local_dir, settings),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=CLOSING_S,
            )
        )

    def __enter__(self) -> TuneServer:
        self._socket = _listen(self._host, self.port)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="tune-server", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.board.close()
        self._server.should_exit = True
        self._thread.join(2 * CLOSING_S)
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    """A socket at the host's first address, IPv4 where it has both."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server(address[:2], family=family)
