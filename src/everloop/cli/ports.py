"""Is a port free? Asked before processes are started that would each fail in their own words."""

from __future__ import annotations

import socket

from everloop.core.errors import BadInput, Busy


def must_be_free(host: str, port: int, option: str) -> None:
    """Raises Busy when another process listens there, BadInput when the address is none of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno in (48, 98):
                raise Busy(f"Port {port} on {host} is in use by another process. Stop it, or choose another port with {option}.") from None
            raise BadInput(f"Cannot listen on {host} port {port} ({error}). Choose another with --host and {option}.") from None
