"""What a program does that forks while it holds a storage; each kind of storage runs it behind a beginning of its own.

The beginning makes ``storage`` and ``study``, and ``cycle``, which adds and ends one trial.
"""

from __future__ import annotations

CHILD_OUTLIVES_PARENT = """
storage.add(study, Draft(), worker="parent")
if os.fork() == 0:
    print("ready", flush=True)
time.sleep(60)  # the child as a data loader that nobody stopped
"""


def forks_among_threads(n_threads: int, n_forks: int) -> str:
    """A program that forks while its threads use the storage."""
    return f"""
stop = threading.Event()
def work():
    while not stop.is_set():
        cycle()
        storage.read(study)
threads = [threading.Thread(target=work) for _ in range({n_threads})]
for thread in threads:
    thread.start()
for _ in range({n_forks}):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        cycle()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
storage.close()
"""
