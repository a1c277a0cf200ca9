"""Settings, mail server and safe domains: difference, change, dry run, and two instances kept alike."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError
from airflow_provider_oac.operators.system import (
    OACMailServerOperator,
    OACSafeDomainsOperator,
    OACSystemSettingsOperator,
)
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task

PUT_SETTINGS, PUT_MAIL = "PUT /system/settings", "PUT /system/mail/server"
PUT_DOMAIN, DELETE_DOMAIN = (f"{method} /system/safeDomains/{{urlBase64DomainId}}" for method in ("PUT", "DELETE"))
PASSWORD = "Mail-Secret-99"
SENDER = {"displayName": "OAC", "emailAddress": "oac@example.com"}
START_TLS = "START_TLS_CONNECTION_SECURITY"
SERVER = {"host": "smtp.example.com", "port": 587, "sender": SENDER, "connectionSecurity": START_TLS}
LIKE_PROD = {"template_oac_conn_id": "oac_prod"}


def account(connections: Connections, password: str = PASSWORD) -> None:
    """Set the Airflow Connection `mail`, with the credentials of a mail server."""
    connections.set("mail", {"conn_type": "smtp", "login": "mailer", "password": password})


@pytest.fixture(autouse=True)
def two(connections: Connections) -> None:
    """Also a Connection `oac_prod` to the other instance, and `mail`."""
    connections.oac("oac_prod", "prod")
    account(connections)


def settings(**changes: Any) -> Any:
    return Task(lambda: OACSystemSettingsOperator(task_id="settings", **changes)).attempt()


def mail(**changes: Any) -> Any:
    return Task(lambda: OACMailServerOperator(task_id="mail", **{"server": SERVER, **changes})).attempt()


def domains(**changes: Any) -> Any:
    return Task(lambda: OACSafeDomainsOperator(task_id="domains", **changes)).attempt()


def kept(simulator: Simulator, what: str, instance: str = "dev") -> Any:
    """What the simulated OAC keeps of `settings`, `mail` or `safeDomains`."""
    return simulator.control.content(instance)[what]


def test_settings_that_differ_are_changed_once(clean: Simulator) -> None:
    wanted = {"EmailMaxRecipients": 100, "EmailMaxEmailSizeKB": "4096", "EnableDataQueryCache": False}
    told = {
        "changed": {"EmailMaxRecipients": ["512", "100"], "EnableDataQueryCache": ["true", "false"]},
        "unchanged": 1, "pending": [], "unconfirmed": [], "not_here": [],
    }  # fmt: skip
    assert settings(settings=wanted, dry_run=True) == {**told, "dry_run": True}
    assert settings(settings=wanted) == {**told, "dry_run": False}
    assert kept(clean, "settings")["EmailMaxRecipients"] == "100"
    assert settings(settings=wanted)["changed"] == {}
    assert clean.control.calls("dev", PUT_SETTINGS) == 1


def test_two_instances_get_the_same_settings(clean: Simulator) -> None:
    there = {"EmailMaxRecipients": "7", "DefaultUserPreferredTimeZone": "CET", "EnableDataQueryCache": False}
    settings(settings=there, oac_conn_id="oac_prod")
    given = {"DefaultUserPreferredTimeZone": "UTC"}
    result = settings(**LIKE_PROD, ignore=["EnableDataQueryCache"], settings=given)
    assert result["changed"] == {"EmailMaxRecipients": ["512", "7"]}
    assert kept(clean, "settings")["EnableDataQueryCache"] == "true"
    changed = settings(**LIKE_PROD, keys=["EnableDataQueryCache"], dry_run=True)["changed"]
    assert changed == {"EnableDataQueryCache": ["true", "false"]}


def test_a_setting_that_this_instance_does_not_have_is_left_out(clean: Simulator) -> None:
    more = [{"key": "NewFeature", "value": "on"}, {"key": "EmailMaxRecipients", "value": "7"}]
    clean.control.fault("GET /system/settings", "status", instance="prod", status=200, body={"items": more}, times=None)
    result = settings(**LIKE_PROD)
    assert (result["not_here"], result["changed"]) == (["NewFeature"], {"EmailMaxRecipients": ["512", "7"]})


def test_settings_that_read_otherwise_afterwards_are_told(clean: Simulator) -> None:
    clean.control.fault(PUT_SETTINGS, "status", status=200, body="")
    assert settings(settings={"EmailMaxRecipients": 9})["unconfirmed"] == ["EmailMaxRecipients"]


def test_a_mail_server_gets_the_password_of_an_airflow_connection(connections: Connections, clean: Simulator) -> None:
    result = mail(mail_conn_id="mail")
    assert (result["sent"], result["secret"]) == (True, "sent")
    assert result["changed"]["host"] == [None, "smtp.example.com"]
    assert result["changed"]["auth.username"] == [None, "mailer"]
    assert kept(clean, "mail")["connectionSecurity"] == {"connectionSecurityType": START_TLS}
    # A new password counts because it is always sent.
    account(connections, "Another-Secret-1")
    for always, sent, secret, password in (
        (False, False, "not compared", PASSWORD),
        (True, True, "sent", "Another-Secret-1"),
    ):
        result = mail(mail_conn_id="mail", always_send_password=always)
        assert (result["changed"], result["sent"], result["secret"]) == ({}, sent, secret)
        assert kept(clean, "mail")["auth"]["passwordSha256"] == sha256(password.encode()).hexdigest()


def test_a_mail_server_without_a_secret_is_sent_only_if_it_differs_and_removed_once(clean: Simulator) -> None:
    assert [mail()["sent"], mail()["sent"]] == [True, False]
    assert mail(server={**SERVER, "port": "25"}, dry_run=True) == {
        "changed": {"port": [587, 25]}, "sent": False, "secret": "none", "dry_run": True,
    }  # fmt: skip
    assert clean.control.calls("dev", PUT_MAIL) == 1
    clean.control.fault("DELETE /system/mail/server", "drop_after")
    assert mail(server=None, absent=True)["changed"] == {"host": ["smtp.example.com", None]}
    assert kept(clean, "mail") is None
    assert mail(server=None, absent=True)["sent"] is False


def test_oauth_goes_as_the_connection_says(connections: Connections, clean: Simulator) -> None:
    auth = {"authType": "OAUTH2_AUTH", "clientId": "abc", "clientSecret": PASSWORD}
    connections.set("mail", {"conn_type": "smtp", "host": "smtp.other.com", "port": 465, "extra": {"auth": auth}})
    mail(mail_conn_id="mail", server={"sender": SENDER, "connectionSecurity": "SSL_TLS_CONNECTION_SECURITY"})
    found = kept(clean, "mail")
    assert (found["host"], found["port"], found["auth"]["clientId"]) == ("smtp.other.com", 465, "abc")


def test_two_instances_get_the_same_mail_server(clean: Simulator) -> None:
    with pytest.raises(OACConfigurationError, match=r"'oac_prod' has no mail server. Nothing was changed"):
        mail(server=None, **LIKE_PROD)
    mail(mail_conn_id="mail", oac_conn_id="oac_prod")
    with pytest.raises(OACConfigurationError, match=r"signs in by USERNAME_PASSWORD_AUTH.*mail_conn_id"):
        mail(server=None, **LIKE_PROD)
    mail(server={"host": "smtp.dev.example.com"}, **LIKE_PROD, mail_conn_id="mail")
    assert kept(clean, "mail") == {**kept(clean, "mail", "prod"), "host": "smtp.dev.example.com"}


def test_safe_domains_are_created_updated_and_left_alone(clean: Simulator) -> None:
    wanted: dict[str, Any] = {"a.example.com": ["img-src"], "*.b.example.com": {"font-src": True, "img-src": False}}
    assert domains(domains=wanted)["created"] == {"a.example.com": ["img-src"], "*.b.example.com": ["font-src"]}
    assert domains(domains=wanted)["unchanged"] == 2
    assert clean.control.calls("dev", PUT_DOMAIN) == 2
    result = domains(domains={"A.example.com": ["img-src", "frame-src"]})
    assert result["updated"] == {"a.example.com": [["img-src"], ["frame-src", "img-src"]]}
    assert kept(clean, "safeDomains")["a.example.com"]["frame-src"] is True


def test_safe_domains_go_when_asked_only(clean: Simulator) -> None:
    domains(domains={name: ["img-src"] for name in ("a.com", "b.com", "c.com")})
    only_a = {"domains": {"a.com": ["img-src"]}}
    assert domains(**only_a, remove=["C.com", "none.com"])["deleted"] == ["c.com"]
    assert domains(**only_a, remove_others=True, dry_run=True)["deleted"] == ["b.com"]
    clean.control.fault(DELETE_DOMAIN, "drop_after")
    assert domains(**only_a, remove_others=True)["deleted"] == ["b.com"]
    assert list(kept(clean, "safeDomains")) == ["a.com"]
    with pytest.raises(OACConfigurationError, match=r"a\.com are both desired and to be deleted"):
        domains(**only_a, remove=["A.com"])


def test_two_instances_get_the_same_safe_domains(clean: Simulator) -> None:
    domains(domains={"old.com": ["img-src"]})
    # An empty instance does not empty the other.
    with pytest.raises(OACConfigurationError, match=r"would remove all. Nothing was changed"):
        domains(**LIKE_PROD, remove_others=True)
    domains(domains={"a.com": ["img-src"], "b.com": ["font-src"]}, oac_conn_id="oac_prod")
    result = domains(**LIKE_PROD, domains={"B.com": ["media-src"]}, remove_others=True)
    assert result["created"] == {"a.com": ["img-src"], "B.com": ["media-src"]}
    assert result["deleted"] == ["old.com"]


def test_nothing_secret_is_told(clean: Simulator, said: Callable[[], str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    clean.control.fault(PUT_MAIL, "status", status=400, body={"code": "Bad", "message": f"{PASSWORD} is too simple"})
    with pytest.raises(OACApiError, match="is too simple") as caught:
        mail(mail_conn_id="mail")
    result = mail(mail_conn_id="mail")
    for instance, value in (("dev", "Old-Secret-1"), ("prod", "New-Secret-2")):
        body = {"items": [{"key": "SmtpPassword", "value": value}]}
        more = {"status": 200, "body": body, "times": None, "instance": instance}
        clean.control.fault("GET /system/settings", "status", **more)
    assert settings(**LIKE_PROD, dry_run=True)["changed"] == {"SmtpPassword": ["***", "***"]}
    told = said() + str(caught.value) + json.dumps(result)
    assert not [secret for secret in (PASSWORD, "Old-Secret-1", "New-Secret-2") if secret in told]
