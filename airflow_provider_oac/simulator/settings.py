"""Everything about the simulator that can be changed while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

#: The audience that every live sample uses (observed); a domain may have another issuer (documented).
DEFAULT_ISSUER = "https://identity.oraclecloud.com/"

CHOICES: dict[str, tuple[str, ...]] = {
    "listing": ("early", "late"),
    "failed_listing": ("drop", "keep"),
    "missing_bucket": ("fail", "400"),
    "wrong_password": ("fail", "400"),
    "work_request_id_in": ("both", "body", "header"),
    "work_resources": ("full", "no_id", "none"),
    "refresh_rotation": ("rotate", "reuse", "omit"),
    "basic_encoding": ("either", "form"),
}


class SettingsError(ValueError):
    """A setting that does not exist, or a value it cannot have."""


@dataclass
class Settings:
    """The switches. Durations are in seconds. `docs/simulator.md` explains each one."""

    access_token_ttl: int = 100
    refresh_token_ttl: int = 604800
    clock_offset: float = 0.0
    clock_skew: int = 60
    issuer: str = DEFAULT_ISSUER
    accepted_audiences: list[str] = field(default_factory=list)
    max_assertion_lifetime: int = 0
    check_jti: bool = False
    system_error_status: int = 400
    basic_encoding: str = "either"
    bare_scope: bool = False
    refresh_rotation: str = "rotate"
    signing_cert_public: bool = False
    device_expires: int = 300
    device_interval: int = 5
    device_send_interval: bool = False
    work_seconds: float = 2.0
    listing: str = "early"
    failed_listing: str = "drop"
    missing_bucket: str = "fail"
    wrong_password: str = "fail"  # noqa: S105 - the name of a behaviour, not a password
    work_request_id_in: str = "both"
    work_resources: str = "full"
    register_operation_type: str = "REGISTER_SNAPSHOT"
    unique_names: bool = False
    overwrite: bool = True
    restore_outage: bool = False
    index_seconds: float = 0.0

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Set several switches, all or none.

        Args:
            changes: Setting name to new value.

        Raises:
            SettingsError: A name is unknown or a value does not fit.
        """
        known = {item.name: getattr(self, item.name) for item in fields(self)}
        checked = {}
        for name, value in changes.items():
            if name not in known:
                raise SettingsError(f"There is no setting {name!r}. Known: {', '.join(sorted(known))}.")
            checked[name] = _fit(name, value, known[name])
        for name, value in checked.items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """All settings, ready for JSON."""
        return asdict(self)


def _fit(name: str, value: Any, current: Any) -> Any:
    """The value as the setting's own type."""
    wanted: type = type(current)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not wanted:
        raise SettingsError(f"Setting {name!r} takes a {wanted.__name__}, not a {type(value).__name__}.")
    if name in CHOICES and value not in CHOICES[name]:
        raise SettingsError(f"Setting {name!r} takes one of {', '.join(CHOICES[name])}, not {value!r}.")
    if isinstance(value, list) and not all(isinstance(entry, str) for entry in value):
        raise SettingsError(f"Setting {name!r} takes a list of texts.")
    if isinstance(value, int | float) and value < 0 and name != "clock_offset":
        raise SettingsError(f"Setting {name!r} cannot be negative.")
    return value
