"""The network of a universe: requests are lost before or after OAC acted, come late, or are refused on the way."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport.io import Request, Response
from oac_simulator.faults import Fault
from tests.universes.kernel import Process, Wait

if TYPE_CHECKING:
    from tests.universes.universe import Universe

#: What can happen to one request.
LOST_BEFORE, LOST_AFTER, UNREACHABLE = "lost before", "lost after", "unreachable"
SLOW, SLOW_REPLY = "slow", "slow reply"
REFUSED, TOO_MANY, UNAVAILABLE, BROKEN_AFTER = "401", "429", "503", "503 after"
WORK_FAILS = "work fails"
KINDS = (LOST_BEFORE, LOST_AFTER, UNREACHABLE, SLOW, SLOW_REPLY, REFUSED, TOO_MANY, UNAVAILABLE, BROKEN_AFTER)
_ID = re.compile(r"/(?=[^/]*[0-9=:%~])[^/]+")


class Network:
    """Carries requests to the simulator.

    :param universe: where.
    """

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        #: Processes that got a new refresh token and have not kept it yet.
        self.unkept: set[Process] = set()
        #: How often the store refused to keep it.
        self.refused = Counter[Process]()
        #: Processes of which a request that changes something meets a fault.
        self.hot: set[Process] = set()
        #: Whether a new refresh token was lost, with the response or the process that it came to.
        self.chain_lost = False

    def exchange(self, process: Process, request: Request) -> Wait:
        """Send a request; the result is its response or an error."""
        universe, kernel, chance = self._universe, self._universe.kernel, self._universe.chance
        wait = Wait()
        name = self._name(request)
        # What changes something is more interesting than the many looks.
        changes = request.method != "GET" and universe.oac.place(request) != "identity"
        kinds = universe.plan.network
        if request.method == "POST" and changes and universe.plan.work_fails:
            kinds = (*kinds, WORK_FAILS)
        fault = chance.event(name, kinds, min(0.5, universe.plan.rate * 3) if changes else universe.plan.rate / 2)
        if fault and changes:
            self.hot.add(process)
        if fault:
            universe.tell(f"{fault}: {name} of {process.name}")
        out = 0.02 + 0.08 * chance.random("latency")
        if fault == SLOW:
            out += 20.0 * chance.random("slow")
        kernel.after(out, lambda: self._arrive(process, request, name, fault, wait))
        return wait

    def _arrive(self, process: Process, request: Request, name: str, fault: str | None, wait: Wait) -> None:
        universe, kernel, chance = self._universe, self._universe.kernel, self._universe.chance
        oac = universe.oac
        what = f"{request.method} {request.url.partition('?')[0]}"

        def fail(sent: bool, seconds: float = 0.05) -> None:
            said = "the connection was reset" if sent else "the server cannot be reached"
            error = OACTransportError(f"{what}: {said}.", sent=sent)
            kernel.after(seconds, lambda: wait.finish(error=error))

        def reply(response: Response) -> None:
            later = 0.02 + (20.0 * chance.random("slow") if fault == SLOW_REPLY else 0.0)
            kernel.after(later, lambda: self._back(process, request, response, wait))

        if fault == UNREACHABLE or kernel.elapsed < oac.down_until:
            return fail(sent=False)
        if fault == LOST_BEFORE:
            return fail(sent=True)
        if fault == TOO_MANY:
            longest = 59 if chance.random("retry after") < 0.5 else 119
            asked = str(1 + int(longest * chance.random("retry after")))
            return reply(_error(429, request, {"retry-after": asked}))
        if fault == UNAVAILABLE:
            return reply(_error(503, request))
        if fault == REFUSED and oac.place(request) != "identity":
            oac.domain.access.end_all()
        if fault == WORK_FAILS:
            oac.world.faults.add(Fault("*", "fail_work"))

        async def act() -> None:
            try:
                response = await oac.answer(request)
            except Exception as defect:
                kernel.defect = defect
                return
            oac.world.faults.clear()
            if fault in (LOST_AFTER, BROKEN_AFTER):
                self.chain_lost = self.chain_lost or self._renews(request, response)
                if fault == LOST_AFTER:
                    fail(sent=True)
                else:
                    reply(_error(503, request))
            else:
                reply(response)

        assert oac.loop is not None
        oac.loop.create_task(act())

    def _back(self, process: Process, request: Request, response: Response, wait: Wait) -> None:
        if self._renews(request, response):
            if process.dead:
                self.chain_lost = True
            else:
                self.unkept.add(process)
        wait.finish(response)

    def died(self, process: Process) -> None:
        """A process was killed."""
        if process in self.unkept:
            self.chain_lost = True

    def _renews(self, request: Request, response: Response) -> bool:
        if self._universe.oac.place(request) != "identity" or response.status != 200:
            return False
        return parse_qs((request.body or b"").decode()).get("grant_type") == ["refresh_token"]

    def _name(self, request: Request) -> str:
        path = urlsplit(request.url).path.removeprefix("/api/20210901")
        return f"{request.method} {_ID.sub('/{id}', path)}"


def _error(status: int, request: Request, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps({"code": str(status), "message": "Simulated"}).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, body, request.url)
