"""Run one program, and end all of its descendants with it.

    guard.py [--grace SECONDS] -- PROGRAM ARGUMENT ...

The program runs until it ends, until this process gets SIGTERM or SIGINT, or until this process's standard input, if
it is a pipe, is closed, which happens when the process at the other end dies, even by SIGKILL. Then every descendant of
the program gets SIGTERM, and SIGKILL after the grace time. That includes descendants that left the process group or
lost their parent: on Linux, this process inherits orphans (PR_SET_CHILD_SUBREAPER). Airflow's schedulers and triggerers
start such processes, so ending their process group is not enough.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Make this process inherit orphaned descendants (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(of: int) -> list[int]:
    """Return the process IDs below one process, from /proc; empty if there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text()
        except OSError:  # the process has just ended
            continue
        fields = text[text.rindex(")") + 2 :].split()
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found: list[int] = []
    todo = [of]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def send(pids: list[int], what: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


def reap(program: subprocess.Popen[bytes]) -> None:
    """Reap ended children: the program through its Popen, adopted orphans directly."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == program.pid:
                program.poll()
            else:
                os.waitpid(ended.si_pid, 0)


def end_all(program: subprocess.Popen[bytes], grace: float) -> None:
    """End the program and everything below this process: SIGTERM, then SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        program.terminate()
    deadline = time.monotonic() + grace
    while program.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    send(descendants(os.getpid()), signal.SIGTERM)
    deadline = time.monotonic() + min(grace, 2.0)
    while True:
        reap(program)
        left = descendants(os.getpid())
        if not left and program.poll() is not None:
            return
        if time.monotonic() >= deadline:
            send(left, signal.SIGKILL)
        time.sleep(0.05)


def main(arguments: list[str]) -> int:
    grace = 10.0
    if arguments[:1] == ["--grace"]:
        grace = float(arguments[1])
        arguments = arguments[2:]
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    adopt_orphans()
    # Signals only write to a pipe, so one loop handles them, the closed input and the program's end.
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    program = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, start_new_session=True)
    watch = selectors.DefaultSelector()
    watch.register(woken, selectors.EVENT_READ)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        watch.register(0, selectors.EVENT_READ)
    while program.returncode is None and not stopping:
        for key, _ in watch.select(timeout=1.0):
            data = os.read(key.fd, 4096)
            if key.fd == 0 and not data:
                stopping.append(signal.SIGTERM)
        reap(program)
    end_all(program, grace)
    code = program.returncode
    return 0 if stopping else (128 - code if code < 0 else code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
