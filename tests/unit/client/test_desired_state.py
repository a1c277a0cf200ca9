"""Settings, mail server, safe domains, connections: what differs, what is refused, what is secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_oac.client.flows import system_settings
from airflow_provider_oac.client.flows.create_connection import NewConnection, owned
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.rest import connections, mail, safe_domains, settings
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.client.secret_names import masked, secret_names, secrets_of, texts_of
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACResponseError, OACUncertainError
from airflow_provider_oac.operators.system import OACSystemSettingsOperator
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, response
from tests.unit.client.worlds import answering, asked, run

OFF = dict.fromkeys(safe_domains.POLICIES, False)
IMAGES = {**OFF, "img-src": True}
PARAMS = {"connectionType": "mysql", "username": "u", "password": "Pass-Word-1"}
ORDER = connections.ConnectionOrder("CRM", PARAMS)


def server(**changes: Any) -> mail.MailServer:
    body = {
        "host": "h", "port": "25", "sender": {"emailAddress": "a@example.com"}, "auth": {"authType": "NO_AUTH"},
        "connectionSecurity": "NO_CONNECTION_SECURITY", **changes,
    }  # fmt: skip
    return mail.MailServer.of(body)


def test_what_sounds_like_a_secret_is_one() -> None:
    body = {
        "user": "u", "Password": "p", "auth": {"clientSecret": "s", "clientId": "i"}, "refresh_token": "t",
        "privateKey": "k", "emptyPassword": None, "port": 5,
    }  # fmt: skip
    assert secret_names(body) == ["Password", "clientSecret", "refresh_token", "privateKey", "emptyPassword"]
    assert secrets_of(body) == ("p", "s", "t", "k")
    assert masked(body)["auth"] == {"clientSecret": "***", "clientId": "i"}


def test_secrets_are_found_in_lists_and_below_their_names() -> None:
    body = {
        "apiKey": "a", "pwd": "b", "accessKeyId": "c", "credentials": {"key": "d", "of": ["e", 6, None]},
        "keys": [{"password": "f"}, {"id": "g"}], "monkey": "h", "keyboard": True,
    }  # fmt: skip
    assert secret_names(body) == ["apiKey", "pwd", "accessKeyId", "credentials", "password"]
    assert secrets_of(body) == ("a", "b", "c", "d", "e", "6", "f")
    assert set(texts_of(body)) == {"a", "b", "c", "d", "e", "6", "f", "g", "h"}
    assert masked(body) == {
        "apiKey": "***", "pwd": "***", "accessKeyId": "***", "credentials": "***",
        "keys": [{"password": "***"}, {"id": "g"}], "monkey": "h", "keyboard": True,
    }  # fmt: skip


def test_a_secret_deep_in_the_sign_in_of_a_mail_server_is_no_difference() -> None:
    auth = {"authType": "OAUTH2_AUTH", "oauth": {"clientSecret": "s"}, "credentials": {"key": "s"}}
    assert set(system_settings.mail_differences(None, server(auth=auth))) & {"auth.oauth", "auth.credentials"} == set()


@pytest.mark.parametrize("given", [{"SmtpPassword": "Secret-1"}, {"ApiKey": "{{ var.value.key }}"}])
def test_a_secret_setting_in_a_dag_is_refused_when_it_is_parsed(given: dict[str, str]) -> None:
    with pytest.raises(OACConfigurationError, match="Secrets do not belong in a DAG"):
        OACSystemSettingsOperator(task_id="settings", settings=given)


def test_a_number_or_a_switch_is_no_secret_setting() -> None:
    for value in (True, 30, "30", "false", ""):
        OACSystemSettingsOperator(task_id="settings", settings={"PasswordMaxAge": value})


def test_settings_are_texts_and_differ_by_text() -> None:
    assert [system_settings.setting_text("k", value) for value in (True, False, 7, 1.5, "x")] == [
        "true", "false", "7", "1.5", "x"
    ]  # fmt: skip
    with pytest.raises(OACConfigurationError, match="not NoneType"):
        system_settings.setting_text("k", None)
    changes = system_settings.setting_changes({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})
    assert changes == {"b": ("2", "3"), "c": (None, "4")}


def test_a_setting_that_is_pending_wins() -> None:
    def oac(_age: float, request: Request) -> Answer:
        value = "new" if "pending=true" in request.url else "old"
        return response(200, json.dumps({"items": [{"key": "k", "value": value}]}))

    assert run(answering(oac), system_settings.effective_settings()) == {"k": "new"}


@pytest.mark.parametrize("body", ["[]", "{}", '{"items": [1]}', '{"items": [{"value": "x"}]}'])
def test_what_is_no_list_of_settings_is_an_error(body: str) -> None:
    with pytest.raises(OACResponseError):
        settings.get().read(response(200, body))


def test_a_mail_server_differs_by_what_is_wanted_and_never_by_secrets() -> None:
    auth = {"authType": "USERNAME_PASSWORD_AUTH", "username": "u", "password": "Pass-Word-1"}
    wanted = server(auth=auth)
    there = mail.MailServer(
        "h", 25, {"emailAddress": "b@example.com", "more": 1}, {"authType": "NO_AUTH"}, wanted.security
    )
    assert system_settings.mail_differences(there, wanted) == {
        "sender.emailAddress": ("b@example.com", "a@example.com"),
        "auth.authType": ("NO_AUTH", "USERNAME_PASSWORD_AUTH"),
        "auth.username": (None, "u"),
    }
    assert "Pass-Word-1" not in repr(wanted) + repr(mail.configure(wanted))
    assert set(system_settings.mail_differences(None, server())) == {
        "host", "port", "sender.emailAddress", "auth.authType", "connectionSecurity.connectionSecurityType",
    }  # fmt: skip


@pytest.mark.parametrize("port", [1, 65535, "587"])
def test_ports_that_are_some(port: Any) -> None:
    assert server(port=port).port == int(port)


@pytest.mark.parametrize("port", [0, 65536, -1, "x", 2.5, True])
def test_ports_that_are_none(port: Any) -> None:
    with pytest.raises(OACConfigurationError, match="1 to 65535"):
        server(port=port)


@pytest.mark.parametrize("length", [0, 7, 256])
def test_a_password_of_a_length_that_oac_refuses(length: int) -> None:
    with pytest.raises(OACConfigurationError, match=f"but it has {length}"):
        server(auth={"authType": mail.PASSWORD_AUTH, "username": "u", "password": "x" * length})


def test_no_mail_server_is_none_in_each_of_its_forms() -> None:
    for answer in (response(404, ""), response(200, ""), response(200, "{}"), response(200, "null")):
        io = answering(lambda _age, _request, answer=answer: answer)  # type: ignore[misc]
        assert run(io, mail.get()) is None
    with pytest.raises(OACResponseError):
        mail.get().read(response(200, "[]"))


@pytest.mark.parametrize(
    "domain", ["a.com", "*.a.com", "https://a.com", "a.com:8443", "a-b.c_d.example", "localhost", "wss://*.a.com:*"]
)
def test_what_is_a_domain(domain: str) -> None:
    assert safe_domains.checked_domain(domain) == domain


@pytest.mark.parametrize(
    "domain",
    ["", "a b", "a.com/x", "a.com;b", "'self'", "*.*.com", "-a.com", "a..com", "a.com\n", "x" * 256, None, "*"],
)
def test_what_is_none(domain: Any) -> None:
    with pytest.raises(OACConfigurationError, match="is not a safe domain"):
        safe_domains.checked_domain(domain)


def test_policies_are_all_nine() -> None:
    assert safe_domains.checked_policy("d", ["img-src"]) == IMAGES
    assert safe_domains.checked_policy("d", {"img-src": True, "font-src": False}) == IMAGES
    assert safe_domains.checked_policy("d", "img-src") == IMAGES
    assert system_settings.allowed(IMAGES) == ["img-src"]


@pytest.mark.parametrize("policy", [None, True, 7])
def test_a_policy_that_names_nothing_is_refused(policy: Any) -> None:
    with pytest.raises(OACConfigurationError, match="Expected: a list of names"):
        safe_domains.checked_policy("d", policy)


def test_a_policy_that_is_neither_on_nor_off_is_named_with_its_value() -> None:
    with pytest.raises(OACConfigurationError, match="the policies img-src='false', nope\\. Expected"):
        safe_domains.checked_policy("d", {"img-src": "false", "nope": True})


def test_what_is_to_be_done_with_domains() -> None:
    # A tenth policy of a newer OAC is nobody's difference.
    there = {"Same.com": {**IMAGES, "worker-src": True}, "other.com": OFF, "gone.com": IMAGES, "stays.com": OFF}
    wanted = {"same.com": IMAGES, "other.com": IMAGES, "new.com": OFF}
    todo = system_settings.domain_changes(there, wanted, ["GONE.com", "never.com"])
    assert todo.created == {"new.com": OFF}
    assert todo.updated == {"other.com": (OFF, IMAGES)}
    assert list(todo.deleted) == ["gone.com"]
    assert todo.unchanged == ("Same.com",)
    assert sorted(system_settings.domain_changes(there, wanted, only=True).deleted) == ["gone.com", "stays.com"]


@pytest.mark.parametrize("body", ["{}", "[1]", '"x"'])
def test_what_is_no_list_of_domains_is_an_error(body: str) -> None:
    with pytest.raises(OACResponseError):
        safe_domains.list_all().read(response(200, body))


def test_a_domain_that_oac_does_not_delete_is_an_error() -> None:
    def oac(_age: float, request: Request) -> Answer:
        return response(400, '{"message": "no"}') if request.method == "DELETE" else response(200, '[{"a.com": {}}]')

    todo = system_settings.domain_changes({"a.com": OFF}, {}, ["a.com"])
    with pytest.raises(OACError, match="no"):
        run(answering(oac), system_settings.apply_domains(todo))


@pytest.mark.parametrize("missing", ["username", "password"])
def test_a_connection_without_credentials_is_never_sent(missing: str) -> None:
    order = connections.ConnectionOrder("CRM", {**PARAMS, missing: ""})
    for call in (connections.create, lambda wanted: connections.update("id", wanted)):
        with pytest.raises(OACConfigurationError, match=f"{missing} missing.*created or updated"):
            call(order)


def test_a_new_connection_needs_a_type() -> None:
    with pytest.raises(OACConfigurationError, match="has no connectionType"):
        connections.create(connections.ConnectionOrder("CRM", {"username": "u", "password": "p"}))


def test_the_password_is_in_no_repr() -> None:
    order = connections.ConnectionOrder("CRM", PARAMS, wallet=b"Pass-Word-1")
    assert "Pass-Word-1" not in repr(order) + repr(connections.create(order)) + repr(connections.update("id", order))


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
def test_the_type_of_a_connection_is_found_where_it_may_stand(content: Any, kind: str | None) -> None:
    item = CatalogItem("connections", "id", "CRM", "admin", "", None, None, {"content": content})
    assert connections.type_of(item) == kind


def listing(*owners: str) -> bytes:
    return json.dumps([{"type": "connections", "id": f"id-{o}", "name": "CRM", "owner": o} for o in owners]).encode()


def test_three_lost_answers_and_no_connection_end_uncertain() -> None:
    io = answering(lambda _age, request: response(503, "") if request.method == "POST" else response(200, "[]"))
    with pytest.raises(OACUncertainError, match="Could not create connection 'CRM': 3 requests"):
        run(io, submit_once(NewConnection(ORDER, "jane")))
    assert len(asked(io, "POST")) == 3


def test_one_that_is_refused_and_not_listed_is_not_touched() -> None:
    io = answering(
        lambda _age, request: response(409, "{}") if request.method == "POST" else response(200, listing("joe"))
    )
    with pytest.raises(OACError, match=r"lists none of jane. Nothing was changed"):
        run(io, submit_once(NewConnection(ORDER, "jane", "update")))
    assert asked(io, "PUT") == []


def test_an_owner_that_is_not_known_must_be_the_only_one() -> None:
    io = answering(lambda _age, _request: response(200, listing("jane", "joe")))
    with pytest.raises(OACError, match="ambiguous: jane, joe"):
        run(io, owned("CRM", None))
    found = run(answering(lambda _age, _request: response(200, listing("jane"))), owned("CRM", None))
    assert found is not None
    assert run(io, owned("CRM", "JOE")) is not None
