"""ServerSettings: where a run's server listens, and whom it lets in."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from rltune.tune.error import TuneError


@dataclass(frozen=True)
class ServerSettings:
    """What `tune.run(with_server=ServerSettings(...))` may say about its server.

    Args:
        host: the address to listen at. Anything but this machine's own loopback needs a token. The
            server speaks plain HTTP: put a TLS proxy before it where others can listen.
        token: if given, every request must carry it, as `Authorization: Bearer <token>`.
        host_names: further names under which clients reach the server, such as a proxy's. A Host
            header with any other name is refused, since it may be a web page whose own name was
            made to point here (DNS rebinding).
        hex_pickles: `config` and `result` as hex strings of cloudpickle, as 0.7 sent them. Unsafe
            for clients: whoever unpickles them runs what the server, or whoever answers in its
            place, put in. The server itself never unpickles.
        max_body_bytes: a longer request body is refused.

    Raises TuneError for a host that others can reach, without a token.
    """

    host: str = "localhost"
    token: str | None = None
    host_names: tuple[str, ...] = ()
    hex_pickles: bool = False
    max_body_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if not self.token and not self.is_loopback():
            raise TuneError(
                f"The server does not start at {self.host!r} without a token, since others can "
                'reach it there. Use ServerSettings(host=..., token="a long random text").'
            )

    def is_loopback(self) -> bool:
        address = _address(self.host)
        return self.host == "localhost" if address is None else address.is_loopback

    def knows_host(self, name: str) -> bool:
        """Whether a client may call the server by this name. An address is no name that somebody
        could have made to point here.
        """
        known = {"localhost", "127.0.0.1", "::1", self.host.lower()}
        known.update(name.lower() for name in self.host_names)
        if not self.is_loopback():
            known.add(socket.gethostname().lower())
        return name in known or (not self.is_loopback() and _address(name) is not None)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
