"""Settings, mail server and safe domains: difference, change, dry run, and two instances kept alike."""

from __future__ import annotations

import json
import logging
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
SERVER = {
    "host": "smtp.example.com",
    "port": 587,
    "sender": {"displayName": "OAC", "emailAddress": "oac@example.com"},
    "connectionSecurity": "START_TLS_CONNECTION_SECURITY",
}


@pytest.fixture
def two(connections: Connections) -> Connections:
    """Also a Connection `oac_prod` to the other instance, and `mail` with a password for the mail server."""
    connections.oac("oac_prod", "prod")
    connections.set("mail", {"conn_type": "smtp", "login": "mailer", "password": PASSWORD})
    return connections


def settings(**changes: Any) -> dict[str, Any]:
    result: dict[str, Any] = Task(lambda: OACSystemSettingsOperator(task_id="settings", **changes)).attempt()
    return result


def mail(**changes: Any) -> dict[str, Any]:
    arguments = {"task_id": "mail", "server": SERVER, **changes}
    result: dict[str, Any] = Task(lambda: OACMailServerOperator(**arguments)).attempt()
    return result


def domains(**changes: Any) -> dict[str, Any]:
    result: dict[str, Any] = Task(lambda: OACSafeDomainsOperator(task_id="domains", **changes)).attempt()
    return result


def test_settings_that_differ_are_changed_once(two: Connections, clean: Simulator) -> None:
    wanted = {"EmailMaxRecipients": 100, "EmailMaxEmailSizeKB": "4096", "EnableDataQueryCache": False}
    result = settings(settings=wanted)
    assert result["changed"] == {"EmailMaxRecipients": ["512", "100"], "EnableDataQueryCache": ["true", "false"]}
    assert (result["unchanged"], result["pending"], result["unconfirmed"]) == (1, [], [])
    assert clean.control.content("dev")["settings"]["EmailMaxRecipients"] == "100"
    assert settings(settings=wanted)["changed"] == {}
    assert clean.control.calls("dev", PUT_SETTINGS) == 1


def test_settings_of_a_dry_run_stay(two: Connections, clean: Simulator) -> None:
    result = settings(settings={"DefaultUserPreferredTimeZone": "CET"}, dry_run=True)
    assert (result["changed"], result["dry_run"]) == ({"DefaultUserPreferredTimeZone": ["UTC", "CET"]}, True)
    assert clean.control.calls("dev", PUT_SETTINGS) == 0


def test_two_instances_get_the_same_settings(two: Connections, clean: Simulator) -> None:
    there = {"EmailMaxRecipients": "7", "DefaultUserPreferredTimeZone": "CET", "EnableDataQueryCache": False}
    settings(settings=there, oac_conn_id="oac_prod")
    given = {"DefaultUserPreferredTimeZone": "UTC"}
    result = settings(template_oac_conn_id="oac_prod", ignore=["EnableDataQueryCache"], settings=given)
    assert result["changed"] == {"EmailMaxRecipients": ["512", "7"]}
    assert clean.control.content("dev")["settings"]["EnableDataQueryCache"] == "true"
    assert settings(template_oac_conn_id="oac_prod", keys=["EnableDataQueryCache"], dry_run=True)["changed"] == {
        "EnableDataQueryCache": ["true", "false"]
    }


def test_a_setting_that_this_instance_does_not_have_is_left_out(two: Connections, clean: Simulator) -> None:
    more = [{"key": "NewFeature", "value": "on"}, {"key": "EmailMaxRecipients", "value": "7"}]
    clean.control.fault("GET /system/settings", "status", instance="prod", status=200, body={"items": more}, times=None)
    result = settings(template_oac_conn_id="oac_prod")
    assert (result["not_here"], result["changed"]) == (["NewFeature"], {"EmailMaxRecipients": ["512", "7"]})


def test_settings_that_read_otherwise_afterwards_are_told(two: Connections, clean: Simulator) -> None:
    clean.control.fault(PUT_SETTINGS, "status", status=200, body="")
    assert settings(settings={"EmailMaxRecipients": 9})["unconfirmed"] == ["EmailMaxRecipients"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"settings": {"NoSuchKey": "x"}}, OACApiError, "There is no setting 'NoSuchKey'"),
        ({"settings": {"EmailMaxRecipients": "many"}}, OACApiError, "EmailMaxRecipients is not a whole number"),
    ],
)
def test_settings_that_cannot_be_are_told(
    two: Connections, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        settings(**changes)


def test_a_mail_server_is_set_with_a_password_of_an_airflow_connection(two: Connections, clean: Simulator) -> None:
    result = mail(mail_conn_id="mail")
    assert (result["sent"], result["secret"]) == (True, "sent")
    assert result["changed"]["host"] == [None, "smtp.example.com"]
    assert result["changed"]["auth.username"] == [None, "mailer"]
    kept = clean.control.content("dev")["mail"]
    assert kept["auth"]["passwordSha256"] == sha256(PASSWORD.encode()).hexdigest()
    assert kept["connectionSecurity"] == {"connectionSecurityType": "START_TLS_CONNECTION_SECURITY"}


def test_a_new_password_counts_because_it_is_always_sent(two: Connections, clean: Simulator) -> None:
    mail(mail_conn_id="mail")
    two.set("mail", {"conn_type": "smtp", "login": "mailer", "password": "Another-Secret-1"})
    quiet = mail(mail_conn_id="mail", always_send_password=False)
    assert (quiet["changed"], quiet["sent"], quiet["secret"]) == ({}, False, "not compared")
    loud = mail(mail_conn_id="mail")
    assert (loud["changed"], loud["sent"], loud["secret"]) == ({}, True, "sent")
    kept = clean.control.content("dev")["mail"]["auth"]["passwordSha256"]
    assert kept == sha256(b"Another-Secret-1").hexdigest()


def test_a_mail_server_without_a_secret_is_sent_only_if_it_differs(two: Connections, clean: Simulator) -> None:
    assert mail()["sent"] is True
    assert mail()["sent"] is False
    assert mail(server={**SERVER, "port": "25"}, dry_run=True) == {
        "changed": {"port": [587, 25]}, "sent": False, "secret": "none", "dry_run": True,
    }  # fmt: skip
    assert clean.control.calls("dev", PUT_MAIL) == 1


def test_oauth_goes_as_the_connection_says(two: Connections, clean: Simulator) -> None:
    auth = {"authType": "OAUTH2_AUTH", "clientId": "abc", "clientSecret": PASSWORD}
    two.set("mail", {"conn_type": "smtp", "host": "smtp.other.com", "port": 465, "extra": {"auth": auth}})
    mail(mail_conn_id="mail", server={"sender": SERVER["sender"], "connectionSecurity": "SSL_TLS_CONNECTION_SECURITY"})
    kept = clean.control.content("dev")["mail"]
    assert (kept["host"], kept["port"], kept["auth"]["clientId"]) == ("smtp.other.com", 465, "abc")


def test_two_instances_get_the_same_mail_server(two: Connections, clean: Simulator) -> None:
    mail(mail_conn_id="mail", oac_conn_id="oac_prod")
    with pytest.raises(OACConfigurationError, match=r"signs in by USERNAME_PASSWORD_AUTH.*mail_conn_id"):
        mail(server=None, template_oac_conn_id="oac_prod")
    mail(server={"host": "smtp.dev.example.com"}, template_oac_conn_id="oac_prod", mail_conn_id="mail")
    dev, prod = (clean.control.content(name)["mail"] for name in ("dev", "prod"))
    assert dev == {**prod, "host": "smtp.dev.example.com"}


def test_an_instance_without_a_mail_server_removes_none(two: Connections, clean: Simulator) -> None:
    with pytest.raises(OACConfigurationError, match=r"'oac_prod' has no mail server. Nothing was changed"):
        mail(server=None, template_oac_conn_id="oac_prod")


def test_a_mail_server_is_removed_once(two: Connections, clean: Simulator) -> None:
    mail()
    clean.control.fault("DELETE /system/mail/server", "drop_after")
    assert mail(server=None, absent=True)["changed"] == {"host": ["smtp.example.com", None]}
    assert clean.control.content("dev")["mail"] is None
    assert mail(server=None, absent=True)["sent"] is False


def test_safe_domains_are_created_updated_and_left_alone(two: Connections, clean: Simulator) -> None:
    wanted: dict[str, Any] = {"a.example.com": ["img-src"], "*.b.example.com": {"font-src": True, "img-src": False}}
    assert domains(domains=wanted)["created"] == {"a.example.com": ["img-src"], "*.b.example.com": ["font-src"]}
    assert domains(domains=wanted)["unchanged"] == 2
    assert clean.control.calls("dev", PUT_DOMAIN) == 2
    result = domains(domains={"A.example.com": ["img-src", "frame-src"]})
    assert result["updated"] == {"a.example.com": [["img-src"], ["frame-src", "img-src"]]}
    assert clean.control.content("dev")["safeDomains"]["a.example.com"]["frame-src"] is True


def test_safe_domains_go_when_asked_only(two: Connections, clean: Simulator) -> None:
    domains(domains={name: ["img-src"] for name in ("a.com", "b.com", "c.com")})
    assert domains(domains={"a.com": ["img-src"]}, remove=["C.com", "none.com"])["deleted"] == ["c.com"]
    assert domains(domains={"a.com": ["img-src"]}, remove_others=True, dry_run=True)["deleted"] == ["b.com"]
    clean.control.fault(DELETE_DOMAIN, "drop_after")
    assert domains(domains={"a.com": ["img-src"]}, remove_others=True)["deleted"] == ["b.com"]
    assert list(clean.control.content("dev")["safeDomains"]) == ["a.com"]
    with pytest.raises(OACConfigurationError, match=r"a\.com are both desired and to be deleted"):
        domains(domains={"a.com": []}, remove=["A.com"])


def test_two_instances_get_the_same_safe_domains(two: Connections, clean: Simulator) -> None:
    domains(domains={"a.com": ["img-src"], "b.com": ["font-src"]}, oac_conn_id="oac_prod")
    domains(domains={"old.com": ["img-src"]})
    result = domains(template_oac_conn_id="oac_prod", domains={"B.com": ["media-src"]}, remove_others=True)
    assert result["created"] == {"a.com": ["img-src"], "B.com": ["media-src"]}
    assert result["deleted"] == ["old.com"]


def test_an_empty_instance_does_not_empty_the_other(two: Connections, clean: Simulator) -> None:
    domains(domains={"a.com": ["img-src"]})
    with pytest.raises(OACConfigurationError, match=r"would remove all. Nothing was changed"):
        domains(template_oac_conn_id="oac_prod", remove_others=True)
    assert list(clean.control.content("dev")["safeDomains"]) == ["a.com"]


def test_nothing_secret_is_told(
    two: Connections, clean: Simulator, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    clean.control.fault(PUT_MAIL, "status", status=400, body={"code": "Bad", "message": f"{PASSWORD} is too simple"})
    with pytest.raises(OACApiError, match="is too simple") as caught:
        mail(mail_conn_id="mail")
    result = mail(mail_conn_id="mail")
    for instance, value in (("dev", "Old-Secret-1"), ("prod", "New-Secret-2")):
        items = [{"key": "SmtpPassword", "value": value}]
        body = {"items": items}
        clean.control.fault("GET /system/settings", "status", status=200, body=body, times=None, instance=instance)
    changed = settings(template_oac_conn_id="oac_prod", dry_run=True)["changed"]
    assert changed == {"SmtpPassword": ["***", "***"]}
    said = caplog.text + "".join(capsys.readouterr()) + str(caught.value) + json.dumps(result)
    for secret in (PASSWORD, "Old-Secret-1", "New-Secret-2"):
        assert secret not in said
