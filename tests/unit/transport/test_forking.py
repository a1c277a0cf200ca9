"""A child that is forked while a thread of its parent renews a token."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

FORKING = """
    import os, signal, sys, threading
    from airflow_provider_oac.auth.keys import _loading
    from airflow_provider_oac.auth.session import MemoryStore, Session
    from airflow_provider_oac.transport.blocking import BlockingIO, run
    from tests.manual import ManualIO
    from tests.unit.auth.stores import PASSWORD
    from tests.unit.auth.test_session import issued

    store, asked, go_on = MemoryStore(), threading.Event(), threading.Event()

    def slowly(_request):
        asked.set()
        go_on.wait(60)
        return issued(1)

    io = BlockingIO()
    threads = [
        threading.Thread(target=lambda: run(Session(PASSWORD, store).token(ManualIO(slowly)))),
        threading.Thread(target=lambda: [lock.acquire() for lock in (store._lock, io._opening, _loading)]),
    ]
    threads[0].start()
    asked.wait(60)
    threads[1].start()
    threads[1].join()
    child = os.fork()
    if not child:
        signal.alarm(20)
        # Each of them needs one of the locks.
        token = run(Session(PASSWORD, store).token(ManualIO(lambda _request: issued(2))))
        io._opened()
        with _loading:
            os._exit(0 if token.access_token == "token-2" else 1)
    ended = os.waitpid(child, 0)[1]
    store._lock.release()
    go_on.set()
    threads[0].join()
    print(ended, run(Session(PASSWORD, store).token(ManualIO())).access_token)
"""


def test_a_child_waits_for_no_lock_that_its_parent_held() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(FORKING)],
        cwd=Path(__file__).parents[3], env=os.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["0", "token-1"], done.stderr[-2000:]
