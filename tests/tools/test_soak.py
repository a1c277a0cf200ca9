"""The judge of `make soak`: it finds a leak that is there, and none where there is none."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tools.leaks import BOUNDS, judged, sample

#: Holds more at each line that it reads, if it leaks: a socket, a thread, four MiB; and answers each.
PROCESS = """
    import socket, sys, threading
    held, for_ever = [], threading.Event()
    for line in sys.stdin:
        if sys.argv[1] == "leaks":
            held += [socket.socket(), bytearray(4 << 20)]
            threading.Thread(target=for_ever.wait, daemon=True).start()
        print(flush=True)
"""


@pytest.mark.parametrize(("how", "leaks"), [("leaks", {"sockets", "descriptors", "threads", "MiB"}), ("not", set())])
def test_a_deliberate_leak_is_found(how: str, leaks: set[str]) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PROCESS), how]
    samples = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(30):
            print(file=process.stdin, flush=True)
            process.stdout.readline()
            samples.append(sample(process.pid))
        process.kill()
    assert {growth.name for growth in judged(samples) if growth.is_leak} == leaks


def test_what_grows_in_the_warm_up_only_is_no_leak() -> None:
    samples = [dict.fromkeys(BOUNDS, float(min(number, 8) * 10)) for number in range(30)]
    assert not [growth for growth in judged(samples) if growth.is_leak]
    assert all(growth.is_leak for growth in judged([dict.fromkeys(BOUNDS, number * 10.0) for number in range(30)]))


def test_few_samples_tell_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        judged([dict.fromkeys(BOUNDS, 1.0)] * 10)
