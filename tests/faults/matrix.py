"""The fault matrix: what happens to a task when something goes wrong. `make test-faults` runs each row of it.

A cell is a fault, a way of waiting and what the Airflow line remembers. Cells of the kind "process" run the real
operator in processes of their own, which are killed with SIGKILL; those of the kind "airflow" run in a real Airflow
(tests/airflow/test_faults.py). The cells that are told apart by `telling` run in `make test`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import faults as act
from tests.faults.faults import OUTAGE

BLOCKING, DEFERRED = "blocking", "deferred"
#: With Airflow's task state store, and without it.
NEW, OLD = "3.3", "2.11 to 3.2"
MODES, LINES = (BLOCKING, DEFERRED), (NEW, OLD)
NOUNS = {"backup": "snapshot", "export": "file", "restore": "restore"}


@dataclass(frozen=True)
class Outcome:
    """How a task ends.

    :param state: of the last try.
    :param retried: whether there was more than one try; ``None`` if that is left to Airflow.
    :param told: whether a try failed and said why; `says` of the fault is what it has to say.
    :param good: how many snapshots, files or restores there are.
    :param verified: what the result says of that; ``None`` if it says nothing.
    """

    state: str = "success"
    retried: bool | None = False
    told: bool = False
    good: int = 1
    verified: bool | None = True

    def text(self, noun: str) -> str:
        """For people."""
        when = {None: "", False: " in the first try", True: " on a further try"}[self.retried]
        parts = [f"{self.state}{when}", f"{self.good} {noun}{'' if self.good == 1 else 's'}"]
        if self.verified is not None:
            parts.append("verified" if self.verified else "unverified")
        return ("fails and says why, then " if self.told and self.state == "success" else "") + ", ".join(parts)


#: Nothing happens but a delay.
THROUGH = Outcome()
#: The next try goes on with the work of the one before.
FOUND = Outcome(retried=True)
#: The next try finds the work by its mark in OAC's list.
ADOPTED = Outcome(retried=True, verified=False)
#: The try that lost the reply finds the work by its mark.
LOOKED_FOR = Outcome(verified=False)
#: A file says nothing of being verified.
FILE_AGAIN = Outcome(retried=True, verified=None)

By = Mapping[tuple[str, str], Outcome]


def always(outcome: Outcome) -> By:
    return {(mode, line): outcome for mode in MODES for line in LINES}


def by_line(new: Outcome, old: Outcome) -> By:
    return {(mode, line): new if line == NEW else old for mode in MODES for line in LINES}


def told(by: By) -> By:
    """The same, after a try that failed and named the cause."""
    return {key: Outcome(one.state, True, True, one.good, one.verified) for key, one in by.items()}


@dataclass(frozen=True)
class Fault:
    """A row of the matrix.

    :param name: for people.
    :param does: what happens; ``None`` if tests/airflow/test_faults.py does it.
    :param outcomes: by mode and line; what is not there is no cell.
    :param says: what a message or the log has to say, as a regular expression.
    :param kind: which operator.
    :param telling: cells of it that run in `make test`.
    :param settings: of the simulator.
    """

    name: str
    does: act.Act | None
    outcomes: By
    says: str = ""
    kind: str = "backup"
    telling: tuple[tuple[str, str], ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One cell."""

    fault: Fault
    mode: str
    line: str

    @property
    def id(self) -> str:
        return f"{self.fault.name}, {self.mode}, {self.line}"

    @property
    def wanted(self) -> Outcome:
        return self.fault.outcomes[self.mode, self.line]

    def says_of(self, outcome: Outcome) -> str:
        """An outcome of this cell, for people."""
        return outcome.text(NOUNS[self.fault.kind])


EVERYWHERE = tuple((mode, line) for mode in MODES for line in LINES)
_THROUGH, _ADOPTED, _LOOKED_FOR, _FILE_AGAIN = (always(one) for one in (THROUGH, ADOPTED, LOOKED_FOR, FILE_AGAIN))
_FINDABLE = by_line(FOUND, ADOPTED)
_TRIGGERER = {**_THROUGH, (BLOCKING, NEW): FOUND, (BLOCKING, OLD): ADOPTED}
_TOLD_TO_STOP = {key: one for key, one in told(_FINDABLE).items() if key[0] == BLOCKING}
_UNKNOWN = always(Outcome("failed", True, True, 1, None))

PROCESS_FAULTS = (
    Fault("network down before the submit", act.network_down_before_submit, _THROUGH),
    Fault("network down during the submit", act.network_down_during_submit, _THROUGH, "may or may not have"),
    Fault("network down after the submit", act.network_down_after_submit, _THROUGH, "cannot be read at the moment"),
    Fault("connection reset before OAC acts", act.submit_meets("drop_before"), _THROUGH,
          "may or may not have accepted"),
    Fault("connection reset while the reply is in flight", act.submit_meets("drop_after"), _LOOKED_FOR, "UNVERIFIED"),
    Fault("reply cut in the middle", act.submit_meets("drop_middle"), _LOOKED_FOR, "UNVERIFIED",
          settings={"work_request_id_in": "body"}),
    Fault("reply lost, snapshot listed late", act.listed_late, _LOOKED_FOR, "UNVERIFIED"),
    Fault("worker killed before the submit", act.killed_at("before submit"), always(FOUND)),
    Fault("worker killed during the submit", act.killed_during_submit, _ADOPTED, "UNVERIFIED"),
    Fault("worker killed between submit and persist", act.killed_at("between submit and persist"), _ADOPTED,
          "UNVERIFIED"),
    Fault("worker killed after persist", act.killed_at("after persist"), _FINDABLE),
    Fault("worker or triggerer killed while waiting", act.killed_while_it_waits, _TRIGGERER),
    Fault("worker killed before the result is kept", act.killed_at("before the result is kept"), _FINDABLE),
    Fault("worker killed while it streams an export", act.killed_while_it_streams, _FILE_AGAIN,
          kind="export", telling=((BLOCKING, NEW),)),
    Fault("disk full while it streams an export", act.disk_full_while_it_streams, told(_FILE_AGAIN),
          r"File too large|No space left", kind="export"),
    Fault("task told to stop while waiting", act.told_to_stop_while_it_waits, _TOLD_TO_STOP,
          r"continues in OAC as work request \S+"),
    Fault("timeout while waiting", act.timed_out, told(_FINDABLE), r"did not end in time.* continues in OAC"),
    Fault("OAC away for two minutes", act.oac_restarted(OUTAGE), _THROUGH, "cannot be read at the moment"),
    Fault("OAC restarted", act.oac_restarted(0.0), _THROUGH),
    Fault("401 in the middle", act.unauthorized_in_the_middle, _THROUGH),
    Fault("429 storm", act.too_many_requests, _THROUGH, "429"),
    Fault("key rotated in the identity domain", act.key_rotated, told(_FINDABLE), "certificate"),
    Fault("user deactivated", act.user_deactivated, told(_FINDABLE), "(?i)user", telling=((DEFERRED, NEW),)),
    Fault("clock wrong by ten minutes, signed in by key", act.clock_wrong_with_a_key, told(_FINDABLE), "clock is"),
    Fault("clock wrong by ten minutes, signed in by refresh token", act.clock_wrong_with_a_chain, _THROUGH),
    Fault("token store deleted", act.token_store(Path.unlink), told(_FINDABLE), "login"),
    Fault("token store corrupted", act.token_store(act.corrupt), told(_FINDABLE), "login"),
    Fault("Redis gone for a while", act.redis_gone, _THROUGH, "(?i)redis|store"),
    Fault("work request ends FAILED", act.work_ends("FAILED"), told(always(FOUND)),
          "FAILED.*No space is left in the bucket", telling=((BLOCKING, OLD),)),
    Fault("work request ends CANCELED", act.work_ends("CANCELED"), told(always(FOUND)), "CANCELED"),
    Fault("work request with an unknown status", act.unknown_status, told(_FINDABLE),
          "undocumented status 'SUSPENDED'"),
    Fault("work request vanishes (404)", act.work_vanishes, told(_ADOPTED), "OAC does not know work request"),
    Fault("OAC answers 503 while it restores", act.restore_with_oac_away, _THROUGH, kind="restore",
          settings={"work_seconds": 1.0}),
    Fault("reply to a restore lost", act.restore_with_lost_reply, _UNKNOWN, "(?s)Nothing is sent|not known whether",
          kind="restore", telling=((BLOCKING, NEW),)),
)  # fmt: skip

#: In these, Airflow may fail a try by itself, or not.
_EITHER = {(mode, NEW): Outcome(retried=None) for mode in MODES}
_CLEARED = by_line(FOUND, Outcome(retried=True, good=2))
_DEFERRED = {key: THROUGH for key in EVERYWHERE if key[0] == DEFERRED}

AIRFLOW_FAULTS = (
    Fault("worker killed between submit and persist, in Airflow", None, _ADOPTED, "UNVERIFIED", telling=EVERYWHERE),
    Fault("worker killed while waiting, in Airflow", None, _FINDABLE, telling=EVERYWHERE),
    Fault("reply to the submit lost, in Airflow", None, _LOOKED_FOR, "UNVERIFIED", telling=((DEFERRED, NEW),)),
    Fault("request to OAC lost, in Airflow", None, _THROUGH),
    Fault("triggerer killed, another one takes over", None, _DEFERRED, telling=tuple(_DEFERRED)),
    # The LocalExecutor's workers are the scheduler's processes, so a task that waits in one dies with it.
    Fault("scheduler killed with its tasks and restarted", None, _TRIGGERER, telling=((BLOCKING, NEW),)),
    Fault("API server killed and restarted", None, _EITHER),
    Fault("marked as failed while waiting, then cleared", None, _CLEARED, "continues in OAC",
          telling=((DEFERRED, NEW),)),
)  # fmt: skip


def cells(faults: tuple[Fault, ...]) -> list[Cell]:
    """All cells of some rows."""
    order = [(mode, line) for line in LINES for mode in MODES]
    return [Cell(fault, *key) for fault in faults for key in order if key in fault.outcomes]


def chosen(faults: tuple[Fault, ...], whole: bool | None = None) -> list[Cell]:
    """The telling cells, or all of them.

    :param whole: whether all; by default if OAC_FAULTS=all.
    """
    if whole is None:
        whole = os.environ.get("OAC_FAULTS") == "all"
    return [cell for cell in cells(faults) if whole or (cell.mode, cell.line) in cell.fault.telling]
