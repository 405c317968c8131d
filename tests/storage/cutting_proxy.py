"""A TCP proxy that cuts a line at the worst moment: when the request is lost, or when its answer is."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class CuttingProxy:
    """Forwards to a server on this machine; ``url`` names the proxy in place of the server."""

    def __init__(self, url: str, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = port
        self.url = url.replace(f":{port}/", f":{self._listener.getsockname()[1]}/")
        self._cut = ""  # "request" or "answer": what the next line loses
        self.n_cut = 0
        self.on_cut: Callable[[], object] = lambda: None
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_next(self, what: str) -> None:
        """The next thing that a client sends does not arrive ("request"), or its answer does not ("answer")."""
        self._cut = what

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        """One thread for both ways, because PostgreSQL's protocol takes turns."""
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._port)) as server:
            back = threading.Thread(target=self._back, args=(server, client), daemon=True)
            back.start()
            while data := client.recv(65536):
                if self._cut == "request":
                    self._cut, self.n_cut = "", self.n_cut + 1
                    break
                server.sendall(data)
            for each in (client, server):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            back.join()

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self._cut == "answer":
                    self._cut, self.n_cut = "", self.n_cut + 1
                    self.on_cut()
                    break
                client.sendall(data)
            for each in (client, server):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
