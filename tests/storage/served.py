"""A real server for tests: `honed serve`'s application under uvicorn, in a thread on a free port of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from honed.clock import SYSTEM_CLOCK, Clock
from honed.storage.http import HTTPStorage
from honed.storage.server import LOOPBACK, listening, make_app
from honed.storage.sqlite import SQLiteStorage

TOKEN = "t0ken-for-tests"


class Server:
    """Serves until `stop`, or the end of the `with` block."""

    def __init__(
        self,
        open_for: Callable[[str], Any],
        *,
        token: str | None = TOKEN,
        port: int = 0,
        config: Any = None,
        **options: Any,
    ) -> None:
        self._socket = listening("127.0.0.1", port)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.app = make_app(open_for, token=token, hosts=LOOPBACK, **options)
        quiet: dict[str, Any] = {"log_config": None, "log_level": "critical", "access_log": False, "lifespan": "off"}
        self._server = uvicorn.Server(uvicorn.Config(self.app, **quiet, timeout_graceful_shutdown=2, **(config or {})))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()  # who connects before it accepts waits in the socket's queue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def client(self, **options: Any) -> HTTPStorage:
        return HTTPStorage(self.url, **{"token": TOKEN, "retry_seconds": 20, **options})

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.app.state.desk.close()
        self._socket.close()


def file_opener(path: Path, clock: Clock = SYSTEM_CLOCK) -> Callable[[str], SQLiteStorage]:
    return lambda owner: SQLiteStorage(path, durability="fast", clock=clock, owner=owner)


class Movable(Server):
    """A server for many tests, because its start and end take longer than most of them: `place` is another for each."""

    def __init__(self) -> None:
        self.place: Callable[[str], Any]
        super().__init__(self._open)

    def _open(self, owner: str) -> Any:
        return self.place(owner)
