"""Proxies before a server that hang up: at a statement, after a commit whose answer is lost, or after some answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa


class _Proxy:
    """What passes each connection on; its answers and questions are the subclass's."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._sockets = [listener]
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = self._reach()
            self._sockets += [client, server]
            self._serve(client, server)

    def _reach(self) -> socket.socket:
        raise NotImplementedError

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """End everything that passes through it."""
        for one in self._sockets:
            _hang_up(one)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()


class LossyProxy(_Proxy):
    """Passes everything on, until the transaction that has `marker` in it is committed; then it hangs up, once.

    With `cut` it hangs up at the marked statement already, as a server does that is stopped: nothing took place.

    Args:
        url: The server's URL, by a socket in a folder.
        folder: Where the proxy's own socket is to be.
        marker: Bytes of the statement whose transaction is to be lost sight of.
        cut: Whether to hang up before the statement reaches the server.
    """

    def __init__(self, url: str, folder: Path, marker: str, *, cut: bool = False) -> None:
        folder.mkdir()
        server = sa.make_url(url)
        self.url = server.set(query={"host": str(folder)}).render_as_string(hide_password=False)
        self.lost = threading.Event()
        self._server = f"{server.query['host']}/.s.PGSQL.5432"
        self._marker = marker.encode()
        self._cut = cut
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / ".s.PGSQL.5432"))
        listener.listen()
        super().__init__(listener)

    def _reach(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server)
        return server

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        losing = threading.Event()
        self._run(self._ask, client, server, losing)
        self._run(self._answer, client, server, losing)

    def _ask(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        marked = False
        with suppress(OSError):
            while data := client.recv(1 << 16):
                marked = (marked or self._marker in data) and not self.lost.is_set()
                if marked and self._cut:
                    self.lost.set()
                    _hang_up(client)
                    break
                if marked and b"COMMIT" in data:
                    losing.set()
                server.sendall(data)
        _hang_up(server)

    def _answer(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if losing.is_set() and b"COMMIT" in data:
                    self.lost.set()
                    break
                client.sendall(data)
        _hang_up(client)
        _hang_up(server)


class CuttingProxy(_Proxy):
    """Passes on what goes to a server's port, and so many of its answers on each connection; then it hangs up.

    Args:
        address: The server's host and port.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.answers: int | None = None  # that a connection gets; None: all
        self._server = address
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        super().__init__(listener)

    def _reach(self) -> socket.socket:
        return socket.create_connection(self._server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        self._run(self._pass, client, server, None)
        self._run(self._pass, server, client, self.answers)

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket, most: int | None) -> None:
        count = 0
        with suppress(OSError):
            while (data := source.recv(1 << 16)) and count != most:
                target.sendall(data)
                count += 1
        _hang_up(source)
        _hang_up(target)


def _hang_up(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
