"""Host and port -> a bound socket, or a sentence why not."""

from __future__ import annotations

import errno
import socket

from everloop.core.errors import BadInput, Busy


def bind(host: str, port: int, *, shared: bool = False, option: str = "--port") -> socket.socket:
    """A TCP socket bound to the address; port 0 takes a free one. `option` is what an error advises to change.

    `shared` lets further sockets of this user bind the same port (SO_REUSEPORT); the kernel spreads connections over those that listen.
    Raises Busy when another program listens there.
    """
    if not 0 <= port <= 65535:
        raise BadInput(f"Port {port} does not exist; 0 to 65535 is expected, 0 for any free one.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise BadInput(f"Host {host!r} is not known ({error}). Give an address of this machine, such as 127.0.0.1 or 0.0.0.0.") from None
    if shared:
        # A shared port could be bound although somebody else shares it: a socket of our own way finds out.
        if port:
            bind(host, port, option=option).close()
        return _bound(family, address, host, port, shared=True, option=option)
    return _bound(family, address, host, port, shared=False, option=option)


def join(host: str, port: int) -> socket.socket:
    """Another socket on a port that `bind(..., shared=True)` holds."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return _bound(family, address, host, port, shared=True)


def url(host: str, port: int) -> str:
    """Where a client on this machine reaches a server that listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(family: int, address: object, host: str, port: int, *, shared: bool, option: str = "--port") -> socket.socket:
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.bind(address)  # pyright: ignore[reportArgumentType]
    except OSError as error:
        found.close()
        match error.errno:
            case errno.EADDRINUSE:
                raise Busy(f"Port {port} on {host} is in use. Stop what uses it, or choose another with {option}.") from None
            case errno.EACCES:
                raise BadInput(f"Port {port} needs privileges that this user lacks. Choose one from 1024 on with {option}.") from None
            case errno.EADDRNOTAVAIL:
                raise BadInput(f"{host} is no address of this machine. Give one that is, such as 127.0.0.1 or 0.0.0.0.") from None
            case _:
                raise BadInput(f"{host}:{port} cannot be bound ({error.strerror}).") from error
    return found
