"""Starts the ranks of a training on this machine, where ``torchrun`` has not done it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

GRACE_SECONDS = 180.0
"""When a rank has ended by an error, the others may take so long to notice, write down what they have, and end too."""


def launch(
    main: Callable[..., Any], *args: Any, n_ranks: int = 2, grace: float = GRACE_SECONDS, method: str = "spawn"
) -> None:
    """Calls ``main(*args)`` on so many ranks of this machine; under ``torchrun`` just calls it.

    Write it under ``if __name__ == "__main__":``, as each rank is a new Python process that imports the script.

    Args:
        main: a function at the top level of a module.
        n_ranks: how many processes, one for each GPU as a rule.
        grace: seconds that other ranks have to end by themselves when one has ended by an error.
        method: "spawn", or "forkserver", whose processes share what ``multiprocessing.set_forkserver_preload`` names.

    Raises:
        RuntimeError: a rank has ended by an error, which it has printed.
    """
    if isinstance(n_ranks, bool) or not isinstance(n_ranks, int) or n_ranks < 1:
        raise ValueError(f"ddp.launch: n_ranks={n_ranks!r} must be a whole number of at least 1")
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        main(*args)
        return
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=grace))
    context: Any = multiprocessing.get_context(method)
    processes = [
        context.Process(target=_run_rank, args=(rank, n_ranks, store.port, main, args), name=f"rank {rank}")
        for rank in range(n_ranks)
    ]
    try:
        for process in processes:
            process.start()
        _join(processes, grace)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
    wrong = [f"rank {i} with {_told(p.exitcode)}" for i, p in enumerate(processes) if p.exitcode]
    if wrong:
        raise RuntimeError(
            f"Of {n_ranks} ranks, some ended by an error: {', '.join(wrong)}. See above what they printed."
        )


def _join(processes: list[Any], grace: float) -> None:
    """Waits for all; for a limited time once one of them has ended by an error."""
    alive = list(processes)
    while alive:
        has_failed = any(process.exitcode for process in processes)
        ended = wait([process.sentinel for process in alive], timeout=grace if has_failed else None)
        if not ended:
            return
        for process in alive:
            process.join(timeout=0)
        alive = [process for process in alive if process.exitcode is None]


def _told(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _run_rank(rank: int, n_ranks: int, port: int, main: Callable[..., Any], args: tuple[Any, ...]) -> None:
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    sizes = {"WORLD_SIZE": str(n_ranks), "LOCAL_WORLD_SIZE": str(n_ranks)}
    os.environ.update(where | sizes | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
    main(*args)
