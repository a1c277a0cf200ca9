"""Settings, mail server, safe domains, connections: what differs, what is refused, what is secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_oac.client.flows import system_settings
from airflow_provider_oac.client.flows.create_connection import NewConnection, owned
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.rest import connections, mail, safe_domains
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.client.secret_names import masked, secret_names, secrets_of, texts_of
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.operators.system import OACSystemSettingsOperator
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, response
from tests.unit.client.worlds import answering, asked, run

OFF = dict.fromkeys(safe_domains.POLICIES, False)
IMAGES = {**OFF, "img-src": True}
SECRET = "Pass-Word-1"
PARAMS = {"connectionType": "mysql", "username": "u", "password": SECRET}
ORDER = connections.ConnectionOrder("CRM", PARAMS)


def server(**changes: Any) -> mail.MailServer:
    body = {
        "host": "h", "port": "25", "sender": {"emailAddress": "a@example.com"}, "auth": {"authType": "NO_AUTH"},
        "connectionSecurity": "NO_CONNECTION_SECURITY", **changes,
    }  # fmt: skip
    return mail.MailServer.of(body)


def test_secrets_are_found_by_their_names_in_lists_and_below_their_names() -> None:
    body = {
        "user": "u", "Password": "p", "auth": {"clientSecret": "s", "clientId": "i"}, "refresh_token": "t",
        "privateKey": "k", "emptyPassword": None, "port": 5, "apiKey": "a", "pwd": "b", "accessKeyId": "c",
        "credentials": {"key": "d", "of": ["e", 6, None]}, "keys": [{"password": "f"}, {"id": "g"}], "monkey": "h",
        "keyboard": True,
    }  # fmt: skip
    assert secret_names(body) == [
        "Password", "clientSecret", "refresh_token", "privateKey", "emptyPassword", "apiKey", "pwd", "accessKeyId",
        "credentials", "password",
    ]  # fmt: skip
    assert secrets_of(body) == ("p", "s", "t", "k", "a", "b", "c", "d", "e", "6", "f")
    assert set(texts_of(body)) == {*secrets_of(body), "u", "i", "g", "h"}
    shown = masked(body)
    assert (shown["auth"], shown["keys"]) == (
        {"clientSecret": "***", "clientId": "i"},
        [{"password": "***"}, {"id": "g"}],
    )
    assert {name for name in body if shown[name] == body[name]} == {"user", "port", "monkey", "keyboard"}


@pytest.mark.parametrize("given", [{"SmtpPassword": "Secret-1"}, {"ApiKey": "{{ var.value.key }}"}])
def test_a_secret_setting_in_a_dag_is_refused_when_it_is_parsed(given: dict[str, str]) -> None:
    with pytest.raises(OACConfigurationError, match="Secrets do not belong in a DAG"):
        OACSystemSettingsOperator(task_id="settings", settings=given)


def test_a_number_or_a_switch_is_no_secret_setting() -> None:
    for value in (True, 30, "30", "false", ""):
        OACSystemSettingsOperator(task_id="settings", settings={"PasswordMaxAge": value})


def test_settings_are_texts_and_differ_by_text() -> None:
    texts = [system_settings.setting_text("k", value) for value in (True, False, 7, 1.5, "x")]
    assert texts == ["true", "false", "7", "1.5", "x"]
    with pytest.raises(OACConfigurationError, match="not NoneType"):
        system_settings.setting_text("k", None)
    changes = system_settings.setting_changes({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})
    assert changes == {"b": ("2", "3"), "c": (None, "4")}


def test_a_setting_that_is_pending_wins() -> None:
    def oac(_age: float, request: Request) -> Answer:
        value = "new" if "pending=true" in request.url else "old"
        return response(200, json.dumps({"items": [{"key": "k", "value": value}]}))

    assert run(answering(oac), system_settings.effective_settings()) == {"k": "new"}


def test_a_mail_server_differs_by_what_is_wanted_and_never_by_secrets() -> None:
    auth = {"authType": "USERNAME_PASSWORD_AUTH", "username": "u", "password": SECRET}
    wanted = server(auth=auth)
    sender = {"emailAddress": "b@example.com", "more": 1}
    assert system_settings.mail_differences(
        mail.MailServer("h", 25, sender, {"authType": "NO_AUTH"}, wanted.security), wanted
    ) == {
        "sender.emailAddress": ("b@example.com", "a@example.com"),
        "auth.authType": ("NO_AUTH", "USERNAME_PASSWORD_AUTH"),
        "auth.username": (None, "u"),
    }
    assert SECRET not in repr(wanted) + repr(mail.configure(wanted))
    deep = {"authType": "OAUTH2_AUTH", "oauth": {"clientSecret": "s"}, "credentials": {"key": "s"}}
    assert set(system_settings.mail_differences(None, server(auth=deep))) == {
        "host", "port", "sender.emailAddress", "auth.authType", "connectionSecurity.connectionSecurityType",
    }  # fmt: skip


def test_a_port_is_a_number_of_1_to_65535() -> None:
    assert [server(port=port).port for port in (1, 65535, "587")] == [1, 65535, 587]
    for port in (0, 65536, -1, "x", 2.5, True):
        with pytest.raises(OACConfigurationError, match="1 to 65535"):
            server(port=port)


@pytest.mark.parametrize("length", [0, 7, 256])
def test_a_password_of_a_length_that_oac_refuses(length: int) -> None:
    with pytest.raises(OACConfigurationError, match=f"but it has {length}"):
        server(auth={"authType": mail.PASSWORD_AUTH, "username": "u", "password": "x" * length})


@pytest.mark.parametrize("answer", [response(404, ""), response(200, ""), response(200, "{}"), response(200, "null")])
def test_no_mail_server_is_none_in_each_of_its_forms(answer: Answer) -> None:
    assert run(answering(answer), mail.get()) is None


@pytest.mark.parametrize(
    "domain", ["a.com", "*.a.com", "https://a.com", "a.com:8443", "a-b.c_d.example", "localhost", "wss://*.a.com:*"]
)
def test_a_safe_domain(domain: str) -> None:
    assert safe_domains.checked_domain(domain) == domain


@pytest.mark.parametrize(
    "domain",
    ["", "a b", "a.com/x", "a.com;b", "'self'", "*.*.com", "-a.com", "a..com", "a.com\n", "x" * 256, None, "*"],
)
def test_a_text_that_is_no_safe_domain_is_refused(domain: Any) -> None:
    with pytest.raises(OACConfigurationError, match="is not a safe domain"):
        safe_domains.checked_domain(domain)


def test_policies_are_all_nine() -> None:
    for policy in (["img-src"], {"img-src": True, "font-src": False}, "img-src"):
        assert safe_domains.checked_policy("d", policy) == IMAGES
    assert system_settings.allowed(IMAGES) == ["img-src"]


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        *((nothing, "Expected: a list of names") for nothing in (None, True, 7)),
        ({"img-src": "false", "nope": True}, r"the policies img-src='false', nope\. Expected"),
    ],
)
def test_a_policy_that_names_nothing_or_is_neither_on_nor_off_is_refused(policy: Any, says: str) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        safe_domains.checked_policy("d", policy)


def test_the_changes_of_domains() -> None:
    # A tenth policy of a newer OAC is no difference.
    there = {"Same.com": {**IMAGES, "worker-src": True}, "other.com": OFF, "gone.com": IMAGES, "stays.com": OFF}
    wanted = {"same.com": IMAGES, "other.com": IMAGES, "new.com": OFF}
    todo = system_settings.domain_changes(there, wanted, ["GONE.com", "never.com"])
    assert (todo.created, todo.updated) == ({"new.com": OFF}, {"other.com": (OFF, IMAGES)})
    assert (list(todo.deleted), todo.unchanged) == (["gone.com"], ("Same.com",))
    assert sorted(system_settings.domain_changes(there, wanted, only=True).deleted) == ["gone.com", "stays.com"]


def test_a_domain_that_oac_does_not_delete_is_an_error() -> None:
    refused, listed = response(400, '{"message": "no"}'), response(200, '[{"a.com": {}}]')
    io = answering(lambda _age, request: refused if request.method == "DELETE" else listed)
    with pytest.raises(OACError, match="no"):
        run(io, system_settings.apply_domains(system_settings.domain_changes({"a.com": OFF}, {}, ["a.com"])))


@pytest.mark.parametrize(
    ("call", "params", "says"),
    [
        *(
            (call, {**PARAMS, name: ""}, f"{name} missing.*created or updated")
            for name in ("username", "password")
            for call in (connections.create, lambda order: connections.update("id", order))
        ),
        (connections.create, {"username": "u", "password": "p"}, "has no connectionType"),
    ],
)
def test_a_connection_without_type_or_credentials_is_never_sent(call: Any, params: dict[str, str], says: str) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        call(connections.ConnectionOrder("CRM", params))


def test_the_password_is_in_no_repr() -> None:
    order = connections.ConnectionOrder("CRM", PARAMS, wallet=SECRET.encode())
    assert SECRET not in repr(order) + repr(connections.create(order)) + repr(connections.update("id", order))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"connectionType": "mysql"}, "mysql"),
        ({"connectionParams": {"connectionType": "mysql"}}, "mysql"),
        ({"connectionParams": "x"}, None),
        ("x", None),
        (None, None),
    ],
)
def test_the_type_of_a_connection_is_found_where_it_may_be(content: Any, kind: str | None) -> None:
    item = CatalogItem("connections", "id", "CRM", "admin", "", None, None, {"content": content})
    assert connections.type_of(item) == kind


def listing(*owners: str) -> Answer:
    return response(
        200, json.dumps([{"type": "connections", "id": f"id-{o}", "name": "CRM", "owner": o} for o in owners])
    )


def test_one_that_is_refused_and_not_listed_is_not_touched() -> None:
    io = answering(lambda _age, request: response(409) if request.method == "POST" else listing("joe"))
    with pytest.raises(OACError, match=r"lists none of jane. Nothing was changed"):
        run(io, submit_once(NewConnection(ORDER, "jane", "update")))
    assert asked(io, "PUT") == []


def test_an_owner_that_is_not_known_must_be_the_only_one() -> None:
    io = answering(listing("jane", "joe"))
    with pytest.raises(OACError, match="ambiguous: jane, joe"):
        run(io, owned("CRM", None))
    assert run(io, owned("CRM", "JOE")) is not None
    assert run(answering(listing("jane")), owned("CRM", None)) is not None
