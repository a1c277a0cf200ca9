"""Whatever people, files and other versions hand over: a value, or an error of ours that helps and holds no secret.

Keys and certificates: `tests/unit/auth/test_keys_errors.py`.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_oac.auth.token_file import access_token_of, read_token_file
from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import segment
from airflow_provider_oac.client.snapshot_names import checked_folder, checked_part, instance_prefix, parse
from airflow_provider_oac.hooks.connection import read_connection
from airflow_provider_oac.provider_info import CONNECTION_FIELDS
from airflow_provider_oac.triggers import oac
from tests.unit.fuzz.anything import SECRETS, SETTINGS, bodies, few, given_or_refused, texts, values

WORKING = {
    "identity_url": "https://idcs.example.com", "grant": "password", "scope": "s", "user": "u",
    "user_password": SETTINGS.user_password, "client_authentication": "basic",
}  # fmt: skip


def connection(**members: Any) -> Any:
    fields: dict[str, Any] = {
        "conn_id": "oac_default", "host": "https://oac.example.com", "port": None, "schema": None,
        "login": "id", "password": SETTINGS.client_secret, "extra": json.dumps(WORKING),
    }  # fmt: skip
    return SimpleNamespace(**{**fields, **members})


@few
@given(
    st.dictionaries(st.sampled_from(sorted(CONNECTION_FIELDS)), values, max_size=3),
    texts, st.none() | st.integers(0, 65535), texts,
)  # fmt: skip
@example({"identity_url": "https://[::1"}, "https://oac.example.com", None, "")
@example({"ca_file": "\x00"}, "oac.example.com", None, "")
@example({"identity_url": f"https://jane:{SETTINGS.client_secret}@idcs.example.com"}, "x", None, "")
@example({"connect_timeout": "9" * 5000}, "oac.example.com", None, "")
@example({"connect_timeout": 10**400}, "oac.example.com", None, "")
def test_a_connection(changed: dict[str, Any], host: str, port: int | None, schema: str) -> None:
    given_or_refused(SETTINGS.secrets, read_connection, connection(extra=json.dumps({**WORKING, **changed})))
    given_or_refused((), read_connection, connection(host=host, port=port, schema=schema))


@few
@given(bodies)
@example(b"[" * 100_000)
@example(b'{"connect_timeout": ' + b"9" * 5000 + b"}")
@example(b'{"the+client/secret=": null}')
def test_an_extra_that_is_anything(extra: bytes) -> None:
    given_or_refused(SETTINGS.secrets, read_connection, connection(extra=extra.decode("latin-1")))


@few
@given(bodies)
def test_a_token_file(content: bytes) -> None:
    text = content.decode("latin-1")
    given_or_refused(SECRETS, read_token_file, text, SETTINGS, 1_700_000_000.0)
    given_or_refused(SECRETS, access_token_of, text)


@few
@given(texts)
@example("\ud800")
def test_ids(text: str) -> None:
    for function in (ids.catalog_id, ids.plain_id, ids.normal, ids.split_path, segment):
        given_or_refused((), function, text)
    given_or_refused((), ids.item_id, item_id=text)
    given_or_refused((), ids.item_id, path=text)
    assert ids.same(text, text)


@few
@given(texts)
def test_names_of_snapshots(text: str) -> None:
    found = parse(text)
    assert found is None or str(found) == text
    part = given_or_refused((), checked_part, text, "The label")
    assert part is None or "/" not in instance_prefix("", part).removeprefix("file:///").removesuffix("/")
    folder = given_or_refused((), checked_folder, text)
    assert folder is None or ".." not in folder.split("/")


@few
@given(values)
@example({"outcome": "x" * 100_000})
def test_an_event_of_a_trigger(event: Any) -> None:
    given_or_refused((), oac.outcome_of, event)
    given_or_refused((), oac.carried_by, event)
