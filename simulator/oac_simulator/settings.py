"""Settings of the simulator that can change while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

#: The audience in every live sample (observed); a domain may have another issuer (documented).
DEFAULT_ISSUER = "https://identity.oraclecloud.com/"

CHOICES: dict[str, tuple[str, ...]] = {
    "listing": ("early", "late"),
    "failed_listing": ("drop", "keep"),
    "missing_bucket": ("fail", "400"),
    "object_deletion": ("allow", "deny"),
    "wrong_password": ("fail", "400"),
    "work_request_id_in": ("both", "body", "header"),
    "work_resources": ("full", "no_id", "none"),
    "refresh_rotation": ("rotate", "reuse", "omit"),
    "basic_encoding": ("either", "form"),
    "detail_keys": ("mixed", "item", "sample"),
    "missing_details": ("404", "400"),
    "empty_type": ("list", "404"),
    "container_search": ("list", "container"),
    "next_page": ("number", "address"),
    "total_items": ("capped", "all", "absent"),
    "folder_exists": ("400", "409", "200"),
    "folder_not_empty": ("403", "400", "409", "500"),
    "acl_inheritance": ("at_creation", "live"),
    "unknown_canvas": ("422", "400", "404", "fail"),
    "export_id_in": ("both", "body", "header"),
    "export_early": ("404", "400", "409", "500"),
    "empty_history": ("list", "404"),
    "connection_error": ("mixed", "standard"),
    "connection_created": ("200", "201_json", "201_id", "201_empty"),
    "mcp_reply": ("json", "sse", "sse_lines"),
    "mcp_tools": ("current", "ansi", "old"),
    "mcp_consumer": ("refuse", "hide"),
    "mcp_unknown_tool": ("-32601", "-32602"),
    "mcp_lost_session": ("404", "error"),
    "mcp_error_form": ("error", "tool", "status"),
    "mcp_nulls": ("null", "missing"),
    "mcp_charset": ("latin1", "utf8"),
}


class SettingsError(ValueError):
    """A setting does not exist, or its value is invalid."""


@dataclass
class Settings:
    """The settings. Durations are in seconds. `docs/simulator.md` explains each one."""

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
    object_deletion: str = "allow"
    wrong_password: str = "fail"  # noqa: S105 - the name of a behavior, not a password
    work_request_id_in: str = "both"
    work_resources: str = "full"
    register_operation_type: str = "REGISTER_SNAPSHOT"
    unique_names: bool = False
    overwrite: bool = True
    restore_outage: bool = False
    index_seconds: float = 0.0
    index_retry_after: int = 1
    restore_roles: bool = True
    padded_ids: bool = False
    page_size: int = 100
    page_maximum: int = 0
    detail_keys: str = "mixed"
    missing_details: str = "404"
    empty_type: str = "list"
    container_search: str = "list"
    next_page: str = "number"
    total_items: str = "capped"
    length_required: bool = True
    folder_exists: str = "400"
    folder_not_empty: str = "403"
    acl_inheritance: str = "at_creation"
    unknown_canvas: str = "422"
    export_needs_permission: bool = False
    export_id_in: str = "both"
    export_early: str = "404"
    export_size: int = 0
    export_length: bool = True
    export_lifetime: float = 0.0
    refuse_second_run: bool = True
    empty_history: str = "list"
    history_delay: float = 0.0
    job_key_typos: bool = False
    connection_error: str = "mixed"
    connection_created: str = "200"
    pending_seconds: float = 0.0
    paused: list[str] = field(default_factory=list)
    mcp_reply: str = "json"
    mcp_tools: str = "current"
    mcp_tools_page: int = 0
    mcp_consumer: str = "refuse"
    mcp_unknown_tool: str = "-32601"
    mcp_session_seconds: float = 0.0
    mcp_session_status: int = 400
    mcp_lost_session: str = "404"
    mcp_list_needs_session: bool = False
    mcp_error_form: str = "error"
    mcp_nulls: str = "null"
    mcp_max_rows: int = 0
    mcp_charset: str = "latin1"

    def check(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return new values as the settings take them.

        :param changes: setting name to new value.
        :raises SettingsError: if a name is unknown or a value does not fit.
        """
        known = {item.name: getattr(self, item.name) for item in fields(self)}
        checked = {}
        for name, value in changes.items():
            if name not in known:
                raise SettingsError(f"There is no setting {name!r}. Known: {', '.join(sorted(known))}.")
            checked[name] = _fit(name, value, known[name])
        return checked

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Change several settings, all or none; for the parameter and errors see :meth:`check`."""
        for name, value in self.check(changes).items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """Return all settings, ready for JSON."""
        return asdict(self)


def _fit(name: str, value: Any, current: Any) -> Any:
    """Convert the value to the setting's type."""
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
