"""Reading a Connection, in every form in which Airflow hands it over."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from airflow.secrets.local_filesystem import LocalFilesystemBackend

from airflow_provider_oac._compat import BaseHook, Connection
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.connection import ConnectionSettings, read_connection
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.provider_info import CONNECTION_FIELDS, SECRET_FIELDS

try:
    from airflow.sdk.log import redact
except ImportError:  # Airflow 2.11
    from airflow.utils.log.secrets_masker import redact

HOST = "https://oac-prod-ns-fr.analytics.ocp.oraclecloud.com"
EXTRA: dict[str, Any] = {
    "identity_url": "https://idcs-1.identity.oraclecloud.com",
    "scope": "https://abc.analytics.ocp.oraclecloud.comurn:opc:resource:consumer::all",
    "user": "robot@example.com",
    "certificate_alias": "airflow",
    "private_key": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
}


def connection(extra: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"conn_type": "oac", "host": HOST, "login": "id", **fields, "extra": {**EXTRA, **(extra or {})}}


def read(**changes: Any) -> ConnectionSettings:
    conn = connection(**changes)
    return read_connection(Connection(conn_id="oac", **{**conn, "extra": json.dumps(conn["extra"])}))


def complaint(**changes: Any) -> str:
    with pytest.raises(OACConfigurationError) as failure:
        read(**changes)
    return str(failure.value)


EVERYTHING = {
    **EXTRA, "grant": "password", "user_password": " with blanks ", "private_key_passphrase": "phrase ",
    "certificate": "-----BEGIN CERTIFICATE-----", "refresh_token": "a+refresh/token==",
    "assertion_audience": "https://identity.oraclecloud.com/, https://idcs-1.identity.oraclecloud.com:443",
    "client_authentication": "body", "instance": "production", "ca_file": "/etc/ca.pem", "connect_timeout": 3,
    "read_timeout": "4.5",
}  # fmt: skip


def test_every_field_of_the_form_arrives() -> None:
    assert set(EVERYTHING) == set(CONNECTION_FIELDS)
    settings = read(extra=EVERYTHING, password="s e")
    auth, transport = settings.auth, settings.transport
    assert (settings.conn_id, settings.address, settings.instance) == ("oac", HOST, "production")
    assert (auth.client_id, auth.client_secret) == ("id", "s e")
    assert auth.audience == ("https://identity.oraclecloud.com/", "https://idcs-1.identity.oraclecloud.com:443")
    assert (transport.connect_timeout, transport.read_timeout, transport.ca_file) == (3.0, 4.5, "/etc/ca.pem")
    as_they_are = set(EVERYTHING) - {"assertion_audience", "instance", "ca_file", "connect_timeout", "read_timeout"}
    assert {name: getattr(auth, name) for name in as_they_are} == {name: EVERYTHING[name] for name in as_they_are}


def test_the_names_that_airflow_2_gave_them_are_read_as_well() -> None:
    prefixed = {f"extra__oac__{name}": value for name, value in EVERYTHING.items()}
    assert read(extra={**dict.fromkeys(EXTRA), **prefixed}, password="s") == read(extra=EVERYTHING, password="s")
    # Its test button posts both names, and texts only.
    twice = {name: str(value) for name, value in {**EVERYTHING, **prefixed}.items()}
    assert read(extra=twice, password="s") == read(extra=EVERYTHING, password="s")


@pytest.mark.parametrize("unset", [None, ""])
def test_null_and_empty_are_as_good_as_missing(unset: str | None) -> None:
    optional = [name for name in CONNECTION_FIELDS if name not in EXTRA]
    assert read(extra=dict.fromkeys(optional, unset)) == read()


def test_the_defaults() -> None:
    settings = read()
    assert settings.auth.grant == "jwt_assertion"
    assert settings.auth.audience == ("https://identity.oraclecloud.com/",)
    assert settings.auth.client_authentication_used == "assertion"


@pytest.mark.parametrize(
    ("fields", "address", "instance"),
    [
        ({}, HOST, "oac-prod-ns-fr"),
        ({"host": "oac.example.com"}, "https://oac.example.com", "oac"),
        ({"host": " https://oac.example.com "}, "https://oac.example.com", "oac"),
        ({"host": "https://oac.example.com/ui/dv/home.jsp?pageid=home"}, "https://oac.example.com", "oac"),
        ({"host": "https://OAC.example.com:443/ui/"}, "https://OAC.example.com:443", "oac"),
        ({"host": "oac.example.com:8443"}, "https://oac.example.com:8443", "oac-8443"),
        ({"host": "oac.example.com", "port": 8443}, "https://oac.example.com:8443", "oac-8443"),
        ({"host": "https://oac.example.com/ui/", "port": 8443}, "https://oac.example.com:8443", "oac-8443"),
        ({"host": "oac.example.com", "schema": "https"}, "https://oac.example.com", "oac"),
        ({"host": "localhost", "schema": "http", "port": 8080}, "http://localhost:8080", "localhost-8080"),
        ({"host": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080", "127.0.0.1-8080"),
        ({"host": "http://[::1]:8080/ui"}, "http://[::1]:8080", "1-8080"),
        ({"host": "10.1.2.3"}, "https://10.1.2.3", "10.1.2.3"),
        ({"host": "a--b.example.com"}, "https://a--b.example.com", "a-b"),
    ],
)
def test_an_address_is_understood_as_people_paste_it(fields: dict[str, Any], address: str, instance: str) -> None:
    settings = read(**fields, extra={"grant": "device_code"})
    assert (settings.address, settings.instance) == (address, instance)
    # A stored token belongs to the address.
    other = read(host="https://oac.example.com", extra={"grant": "device_code"})
    same = address.lower() in ("https://oac.example.com", "https://oac.example.com:443")
    assert (settings.auth.store_key == other.auth.store_key) is same


def test_the_identity_domains_address_may_have_a_path() -> None:
    pasted = "https://idcs-1.identity.oraclecloud.com:443/ui/v1/adminconsole"
    assert read(extra={"identity_url": pasted}).auth.identity_url == "https://idcs-1.identity.oraclecloud.com:443"


def as_uri(conn: dict[str, Any], host: str) -> str:
    fields = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in conn["extra"].items())
    return f"oac://{conn['login']}:{quote(conn['password'], safe='')}@{host}?{fields}"


@pytest.mark.parametrize(
    "host", ["oac.example.com:8443/https", "oac.example.com:8443", quote("https://oac.example.com:8443/ui", safe="")]
)
def test_the_address_in_a_uri(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OAC", as_uri(connection(password="s/e"), host))
    assert read_connection(BaseHook.get_connection("oac")).address == "https://oac.example.com:8443"


@pytest.mark.parametrize("way", ["environment", "uri", "secrets backend"])
def test_every_field_works_however_the_connection_comes(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn, file = connection(extra=EVERYTHING, password="s e/%"), tmp_path / "connections.json"
    file.write_text(json.dumps({"oac": conn}))
    monkeypatch.setenv("AIRFLOW_CONN_OAC", as_uri(conn, quote(HOST, safe="")) if way == "uri" else json.dumps(conn))
    backend = LocalFilesystemBackend(connections_file_path=str(file))
    found = backend.get_connection("oac") if way == "secrets backend" else BaseHook.get_connection("oac")
    assert read_connection(found) == read(extra=EVERYTHING, password="s e/%")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"host": None}, "(Connection: host) is missing"),
        ({"extra": {"identity_url": None}}, "identity_url) is missing"),
        ({"extra": {"private_key": " "}}, "The private key (Connection: extra, private_key) is missing"),
        ({"extra": {"grant": "implicit"}}, "Unknown grant: 'implicit'. Known are"),
        ({"extra": {"client_authentication": "none"}}, "client_authentication none is for public applications"),
        ({"extra": {"connect_timeout": "soon"}}, "connect_timeout must be a positive number of seconds"),
        ({"extra": {"read_timeout": 0}}, "read_timeout must be a positive number of seconds"),
        ({"extra": {"instance": "a--b"}}, "(Connection: extra, instance) is a text of 4 characters (not shown"),
        ({"host": "http://oac.example.com"}, "plain http"),
        ({"extra": {"identity_url": "http://idcs.example.com"}}, "The identity domain's address (identity_url)"),
        ({"port": 70000}, "(Connection: host, port) is not a valid URL"),
    ],
)
def test_what_cannot_work_is_named_with_its_connection(changes: dict[str, Any], named: str) -> None:
    message = complaint(**changes)
    assert message.startswith("Connection 'oac': ")
    assert named in message


JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJyb2JvdCJ9." + "Zm9yZ2VkLXNpZ25hdHVyZQ" * 8


@pytest.mark.parametrize(
    "secret",
    [
        JWT, "the+client/secret=", "idcscs-0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0", "/the/secret+==", "Pass Word:1",
        "https://jane:Secret.42@idcs.example.com", "Secret.42@idcs.example.com", "hunter", "'\n\x1b[31m\"", "Ä ü" * 400,
    ],
    ids=lambda secret: repr(secret[:12]),
)  # fmt: skip
def test_a_secret_in_the_wrong_field_is_not_shown(secret: str) -> None:
    """The word among them is also the password: otherwise nothing tells it from a misspelled value."""
    names = (
        "identity_url", "grant", "client_authentication", "instance", "connect_timeout", "read_timeout",
        "certificate_alias", "assertion_audience", "user",
    )  # fmt: skip
    wrong: list[dict[str, Any]] = [{name: secret, "user_password": "x", "scope": None} for name in names]
    wrong += [{name: "x", "private_key": None} for name in (secret, f"extra__oac__{secret}")]
    wrong += [{"identity_url": url} for url in (f"https://robot:{secret}@idcs.example.com/", f"http://{secret}")]
    hosts = (f"http://{secret}", f"ftp://{secret}", f"https://x:{secret}@y")
    for fields in (*({"extra": extra} for extra in wrong), *({"host": host} for host in hosts)):
        message = complaint(**fields, password="hunter")
        assert secret not in message
        assert "Secret.42" not in message
        assert len(message) < 600
    with pytest.raises(OACConfigurationError) as caught:
        read(extra={"ca_file": secret}).transport.ssl_context()
    assert secret not in str(caught.value)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n"])
def test_a_line_break_at_the_end_of_a_secret_is_left_out_with_a_warning(ending: str) -> None:
    extra = {**EVERYTHING, "user_password": f" with blanks {ending}"}
    settings = read(extra=extra, password=f" s\te {ending}")
    assert (settings.auth.client_secret, settings.auth.user_password) == (" s\te ", " with blanks ")
    assert len(settings.warnings) == 2
    assert all("ends in a line break" in text for text in settings.warnings)


@pytest.mark.parametrize(
    ("character", "name"),
    [("\u200b", "U+200B (ZERO WIDTH SPACE)"), ("\u00a0", "U+00A0 (NO-BREAK SPACE)"), ("\x07", "U+0007 (a control")],
)
def test_an_invisible_character_is_named(character: str, name: str) -> None:
    said = f"contains the invisible character {name}"
    assert f"(Connection: login) {said}" in complaint(login=f"i{character}d")
    for field in ("scope", "certificate_alias"):
        assert f"{field}) {said}" in complaint(extra={field: f"a{character}b"})
    (warning,) = read(extra={"user": f"a{character}b"}).warnings
    assert f"The user (Connection: extra, user) {said}" in warning


@pytest.mark.parametrize("mask", ["***", "RATHER_LONG_SENSITIVE_FIELD_PLACEHOLDER"])
@pytest.mark.parametrize("name", ["password", *sorted(SECRET_FIELDS)])
def test_the_mask_of_a_saved_secret_is_no_secret(name: str, mask: str) -> None:
    message = complaint(password=mask) if name == "password" else complaint(extra={name: mask})
    assert name in message
    assert "is the mask that Airflow shows instead of a saved secret" in message
    assert "check" in message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("privat_key", "private_key"),
        ("privateKey", "private_key"),
        ("Private-Key", "private_key"),
        ("extra__oac__private_kye", "private_key"),
        ("idcs_url", "identity_url"),
        ("kid", "certificate_alias"),
        ("conect_timeout", "connect_timeout"),
    ],
)
def test_a_misspelt_member_is_named_with_what_was_likely_meant(written: str, meant: str) -> None:
    warnings = read(extra={written: "x"}).warnings
    plain = written.removeprefix("extra__oac__")
    assert warnings == (f"Unknown field {plain!r} in extra. Did you mean {meant!r}?",)
    if meant == "private_key":
        assert complaint(extra={"private_key": None, written: "x"}).endswith(warnings[0])


@pytest.mark.parametrize(
    ("unknown", "warnings"),
    [
        ({"comment": "ours"}, ("Unknown field 'comment' in extra.",)),
        (
            {"the+client/secret=": None},
            ("Unknown field in extra: its name is a text of 18 characters (not shown: it may be a secret).",),
        ),
        (EVERYTHING, ()),
    ],
)
def test_a_member_that_is_like_none_is_named_too(unknown: dict[str, Any], warnings: tuple[str, ...]) -> None:
    assert read(extra=unknown, password="s").warnings == warnings


def test_the_folder_of_files_holds_for_all_that_a_connection_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OAC__FILE_FOLDER", str(tmp_path))
    settings = read(extra=EVERYTHING, password="s")
    assert settings.auth.file_folder == settings.transport.file_folder == str(tmp_path)
    monkeypatch.setenv("AIRFLOW__OAC__FILE_FOLDER", "keys")
    assert "[oac] file_folder is 'keys'; it must be an absolute path" in complaint()


@pytest.mark.parametrize("text", ["no json", "[]", '"text"'])
def test_an_extra_that_is_no_object_is_refused(text: str) -> None:
    # Airflow's own class would refuse it; a secrets backend may hand it over.
    conn: Any = SimpleNamespace(conn_id="oac", host=HOST, login="id", password=None, port=None, schema=None, extra=text)
    with pytest.raises(OACConfigurationError, match="Connection 'oac': Its extra is not a JSON object"):
        read_connection(conn)


def test_the_end_of_a_token_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OAC", json.dumps(connection()))
    mask = OACHook("oac").settings.auth.mask
    assert mask
    ending = "".join(f"{number:02}" for number in range(32))
    mask("a-long-token." * 10 + ending)
    assert ending not in str(redact(f"Authorization: Bearer {'a-long-token.' * 10}{ending}"))
