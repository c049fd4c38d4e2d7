"""Which addresses a connector may reach, decided on the address the socket really connects to.

A name that is looked up, checked, and looked up again by the HTTP library can give another answer the second time
(DNS rebinding). So the name is resolved once, here, and the socket is opened to the numbers that were checked.
Host header, SNI and the certificate check still go by the name.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, ClassVar

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

Address = IPv4Address | IPv6Address

SPECIAL = (
    ip_network("192.0.0.0/24"),  # protocol assignments; Oracle Cloud's metadata is 192.0.0.192
    ip_network("168.63.129.16/32"),  # Azure's host agent, on a public address
)
"""What `ipaddress` takes for public and is not (Python 3.11 to 3.14)."""
GLOBAL_UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")


MOST_HELD = 64 << 10
"""Bytes of a request that are put together before they are sent."""


class AddressRefused(HTTPError):
    """The host is on no address that the hub may call."""


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(address: Address) -> bool:
    """Return whether an unwrapped address is on the public internet."""
    if address.version == 6 and address not in GLOBAL_UNICAST:
        return False
    return (
        address.is_global and not address.is_multicast and not any(address in network for network in SPECIAL)
    )


class Guard:
    """Resolves names to addresses that may be called.

    Args:
        allow_private: addresses and networks that are allowed although they are not public, for sandboxes and tests.
        resolve: as `socket.getaddrinfo`.
    """

    def __init__(
        self, allow_private: Iterable[str] = (), resolve: Callable[..., list[Any]] = socket.getaddrinfo
    ) -> None:
        self._allowed = [ip_network(network, strict=False) for network in allow_private]
        self._resolve = resolve

    def permits(self, address: Address) -> bool:
        """Return whether the hub may connect to an address."""
        real = unwrapped(address)
        return is_public(real) or any(real in network for network in self._allowed)

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be called, in the resolver's order.

        Raises:
            AddressRefused: it has none.
            OSError: the name cannot be resolved.
        """
        found = [ip_address(entry[4][0]) for entry in self._resolve(host, port, type=socket.SOCK_STREAM)]
        permitted = [str(address) for address in found if self.permits(address)]
        if not permitted:
            seen = ", ".join(dict.fromkeys(map(str, found)))
            raise AddressRefused(f"{host} is {seen}, which is not public and not in outgoing.allow_private")
        return permitted


class _Checked:
    """An urllib3 connection that opens its socket to a checked address, and sends a request in one piece.

    urllib3 sends head and body apart: two system calls and, beside other threads, two waits for the interpreter's lock.
    """

    guard: ClassVar[Guard]
    _held: bytearray | None = None

    def request(self, *given: Any, **named: Any) -> None:
        self._held = bytearray()
        try:
            super().request(*given, **named)  # type: ignore[misc]
            self._send_held()
        finally:
            self._held = None

    def send(self, data: Any) -> None:
        if self._held is not None and isinstance(data, bytes):
            self._held += data
            if len(self._held) < MOST_HELD:
                return
            data = b""
        self._send_held()
        if data:
            super().send(data)  # type: ignore[misc]

    def _send_held(self) -> None:
        held, self._held = self._held, None
        if held:
            super().send(bytes(held))  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        connection: Any = self
        failure: OSError = OSError("no address answered")
        try:
            addresses = self.guard.addresses(connection.host.strip("[]"), connection.port)
        except UnicodeError as error:
            raise AddressRefused(f"{connection.host!r} is no host name") from error
        except OSError as error:
            raise NameResolutionError(connection.host, connection, error) from error  # type: ignore[arg-type]
        for address in addresses:
            try:
                return create_connection(
                    (address, connection.port), connection.timeout, socket_options=connection.socket_options
                )
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(connection, f"{connection.host} did not answer") from failure
        raise NewConnectionError(connection, f"no connection to {connection.host}: {failure}") from failure


def guarded_adapter(guard: Guard) -> HTTPAdapter:
    """Return a transport for `requests` that connects only where the guard permits, and never by a proxy."""
    http = type("GuardedConnection", (_Checked, HTTPConnection), {"guard": guard})
    https = type("GuardedTlsConnection", (_Checked, HTTPSConnection), {"guard": guard})
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=4, max_retries=0)
    adapter.poolmanager.pool_classes_by_scheme = {
        "http": type("GuardedPool", (HTTPConnectionPool,), {"ConnectionCls": http}),
        "https": type("GuardedTlsPool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
    }
    return adapter
