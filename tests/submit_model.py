"""A model of ``submit_once``: its states, the messages between them, and the points at which it may crash.

It is small enough for complete enumeration. The unit tests enumerate it and run the real flow along each of its paths;
the diagram in ``docs/durability.md`` is generated from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

BEGIN, SEARCH_FIRST, READY, REMEMBERED, ON_THE_WAY, ANSWERED, SEARCH_AFTER = (
    "begin", "search first", "ready", "remembered", "on the way", "answered", "search after",
)  # fmt: skip
ACCEPTED, ADOPTED, REFUSED, UNCERTAIN = "accepted", "adopted", "refused", "uncertain"
ENDS = (ACCEPTED, ADOPTED, REFUSED, UNCERTAIN)
#: Largest number of sends in one try.
SENDS = 3
CRASH = "the process is lost"


@dataclass(frozen=True)
class Situation:
    """The situation of a logical task.

    :param state: state of the current try.
    :param works: number of work requests that OAC has accepted for the task.
    :param suspect: whether the task remembers that a try may have sent a request whose ID is unknown.
    :param known: whether the task remembers the ID.
    :param lost: whether a response was lost in this try.
    :param sends: number of sends in this try.
    :param late: whether a request of a lost process may still arrive.
    """

    state: str = BEGIN
    works: int = 0
    suspect: bool = False
    known: bool = False
    lost: bool = False
    sends: int = 0
    late: bool = False


@dataclass(frozen=True)
class Rules:
    """The rules of the flow. Each is necessary: without it, OAC does something twice.

    :param remembers: whether the task remembers its intent before it sends the request.
    :param searches_first: whether a try after a suspect one searches before it sends.
    :param searches_after: whether the task searches after a lost response.
    :param waits: whether a search lasts until any request of a lost process must have arrived.
    """

    remembers: bool = True
    searches_first: bool = True
    searches_after: bool = True
    waits: bool = True


def steps(at: Situation, rules: Rules = Rules()) -> Iterator[tuple[str, Situation]]:
    """Yield the possible next steps: a message and the situation after it."""
    match at.state:
        case "begin":
            if at.known:
                yield "its id is remembered", replace(at, state=ADOPTED)
            elif at.suspect and rules.searches_first:
                yield "an earlier try may have sent it", replace(at, state=SEARCH_FIRST)
            else:
                yield "no earlier try has sent it", replace(at, state=READY)
        case "ready":
            if at.sends < SENDS:
                yield "the intent is remembered", replace(at, state=REMEMBERED, suspect=at.suspect or rules.remembers)
            else:
                yield "it was sent often enough", replace(at, state=UNCERTAIN)
        case "remembered":
            yield "the request is sent", replace(at, state=ON_THE_WAY, sends=at.sends + 1)
        case "on the way":
            yield "OAC accepts it", replace(at, state=ANSWERED, works=at.works + 1)
            after = SEARCH_AFTER if rules.searches_after else READY
            yield "the request is lost", replace(at, state=after, lost=True)
            yield "OAC accepts it, the response is lost", replace(at, state=after, works=at.works + 1, lost=True)
            # The task forgets its intent, unless an earlier response was lost.
            yield "OAC refuses it", replace(at, state=REFUSED, suspect=at.lost)
        case "answered":
            yield "the id is remembered", replace(at, state=ACCEPTED, suspect=False, known=True)
        case "search first" | "search after":
            if at.works:
                yield "OAC shows it", replace(at, state=ADOPTED)
            elif not (at.late and rules.waits):
                # The search lasts longer than a request can be in transit.
                yield "OAC does not show it", replace(at, state=READY)


def mishaps(at: Situation) -> Iterator[tuple[str, Situation]]:
    """Yield what may go wrong at any time, and the situation in which Airflow continues."""
    again = replace(at, state=BEGIN, lost=False, sends=0)
    if at.state == ON_THE_WAY:
        yield f"{CRASH}, the request too", again
        yield f"{CRASH}, the request arrives", replace(again, works=at.works + 1)
        if not at.late:
            yield f"{CRASH}, the request arrives later", replace(again, late=True)
    elif at.state not in (BEGIN, ACCEPTED, ADOPTED):
        yield CRASH if at.state not in ENDS else "Airflow tries again", again
    if at.late:
        yield "the late request arrives", replace(at, late=False, works=at.works + 1)
        yield "the late request is lost", replace(at, late=False)


def paths(at: Situation) -> Iterator[tuple[tuple[str, ...], Situation]]:
    """Yield all paths of a try to its end or to a crash, with their messages."""
    if at.state in ENDS:
        yield (), at
        return
    for message, after in steps(at):
        for rest, end in paths(after):
            yield (message, *rest), end
    for message, after in mishaps(at):
        if message.startswith(CRASH) and "later" not in message:
            yield (message,), after


def reachable(rules: Rules = Rules(), most: int = 2) -> dict[Situation, set[Situation]]:
    """Return all reachable situations, each with its successors.

    :param most: number of works at which the search stops.
    """
    found: dict[Situation, set[Situation]] = {}
    new = [Situation()]
    while new:
        at = new.pop()
        if at in found:
            continue
        found[at] = {after for _, after in (*steps(at, rules), *mishaps(at))} if at.works < most else set()
        new.extend(found[at])
    return found


def diagram() -> str:
    """Return the states and messages of one try, as text."""
    lines = []
    for state in (BEGIN, SEARCH_FIRST, READY, REMEMBERED, ON_THE_WAY, ANSWERED, SEARCH_AFTER):
        seen = {(message, after.state) for at in reachable() if at.state == state for message, after in steps(at)}
        lines += [f"{state:13} -- {message} --> {after}" for message, after in sorted(seen)]
        if state != BEGIN:
            lines.append(f"{state:13} -- {CRASH} --> {BEGIN}, in another try")
    return "\n".join(lines)
