"""The endpoints that exist, so a test that misspells one fails instead of passing for the wrong reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from difflib import get_close_matches


class UnknownEndpointError(ValueError):
    """A test names a place or an endpoint that does not exist, or a fault that the endpoint does not have."""


class KnownEndpoints:
    """The endpoints of each place: `identity` or an instance."""

    def __init__(self) -> None:
        self._faults: defaultdict[str, dict[str, frozenset[str]]] = defaultdict(dict)

    def add(self, place: str, endpoint: str, faults: Collection[str] = ()) -> None:
        """Add an endpoint.

        :param place: `identity` or the name of an instance.
        :param endpoint: its name.
        :param faults: the faults that only some endpoints have, and that this one has.
        """
        self._faults[place][endpoint] = frozenset(faults)

    def as_dict(self) -> dict[str, list[str]]:
        """Return the names of the endpoints of each place, in alphabetical order."""
        return {place: sorted(endpoints) for place, endpoints in self._faults.items()}

    def check_place(self, place: str | None) -> None:
        """Check that a place exists; None is any place.

        :raises UnknownEndpointError: with the names of all places.
        """
        if place is not None and place not in self._faults:
            raise UnknownEndpointError(f"There is no place {place!r}. Known: {', '.join(sorted(self._faults))}.")

    def check(self, endpoint: str, place: str | None = None, fault: str | None = None) -> None:
        """Check that an endpoint exists.

        :param endpoint: its name.
        :param place: where it must exist; None for any place.
        :param fault: a fault that it must have; None for none.
        :raises UnknownEndpointError: with the names of the closest endpoints.
        """
        self.check_place(place)
        places = self._faults.values() if place is None else [self._faults[place]]
        known = {name for endpoints in places for name in endpoints}
        where = "" if place is None else f" of {place}"
        if endpoint not in known:
            raise UnknownEndpointError(f"There is no endpoint {endpoint!r}{where}. {_closest(endpoint, known)}")
        able = {name for endpoints in places for name, faults in endpoints.items() if fault in faults}
        if fault is not None and endpoint not in able:
            raise UnknownEndpointError(
                f"The fault {fault!r} has no effect on the endpoint {endpoint!r}{where}. {_closest(endpoint, able)}"
            )


def _closest(endpoint: str, known: set[str]) -> str:
    return f"Closest: {', '.join(get_close_matches(endpoint, sorted(known), n=3, cutoff=0))}."
