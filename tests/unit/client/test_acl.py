"""Permissions: what a change leads to, what it changed, and whether OAC took it. Pure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.flows.acl_changes import access, check_taken, difference, expected, resolved
from airflow_provider_oac.client.rest import acl
from airflow_provider_oac.client.rest.acl import DELETE_MATCHING, PERMISSIONS, REPLACE_ALL, REPLACE_MATCHING, Access
from airflow_provider_oac.client.rest.catalog import APPLICATION_ROLE
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from tests.manual import response

JANE, JOE = access("jane", ["read", "list"]), access("joe", ["read"])
ROLE = access("DV Content Author", ["read", "write"], APPLICATION_ROLE)
BEFORE = (JANE, ROLE)

accounts, kinds = st.sampled_from(["a", "b", "c", "A"]), st.sampled_from(["User", APPLICATION_ROLE])
entry = st.builds(access, accounts, st.sets(st.sampled_from(PERMISSIONS)), kinds)
entries = st.lists(entry, max_size=4, unique_by=lambda entry: entry.key)


@pytest.mark.parametrize(
    ("mode", "named", "after"),
    [
        (REPLACE_MATCHING, [JOE], (JANE, ROLE, JOE)),
        (REPLACE_MATCHING, [access("JANE", ["write"])], (ROLE, access("JANE", ["write"]))),
        (DELETE_MATCHING, [access("jane")], (ROLE,)),
        (DELETE_MATCHING, [access("jane", [], APPLICATION_ROLE)], BEFORE),
        (REPLACE_ALL, [JOE], (JOE,)),
    ],
)
def test_what_a_change_leads_to(mode: str, named: list[Access], after: tuple[Access, ...]) -> None:
    assert expected(BEFORE, named, mode) == after


def test_a_difference_for_people() -> None:
    shown = Access("u-17", "User", frozenset({"read", "fly"}), "Jo Ann")
    after = (access("jane", ["list", "read", "write"]), shown)
    assert difference(BEFORE, after) == [
        "+ User 'u-17' (Jo Ann): read, fly",
        "- ApplicationRole 'DV Content Author': read, write",
        "~ User 'jane': read, list -> read, list, write",
    ]
    assert difference(BEFORE, (access("jane"), ROLE)) == ["~ User 'jane': read, list -> nothing"]
    assert not difference(BEFORE, (ROLE, JANE))


@given(entries, entries, st.sampled_from([REPLACE_MATCHING, DELETE_MATCHING, REPLACE_ALL]))
def test_a_change_done_twice_changes_nothing_more(before: list[Access], named: list[Access], mode: str) -> None:
    once = expected(before, named, mode)
    assert not difference(once, expected(once, named, mode))
    if mode == REPLACE_MATCHING:
        untouched = {entry.key for entry in before} - {entry.key for entry in named}
        assert {entry for entry in before if entry.key in untouched} <= set(once)


@given(entries, entries)
def test_a_difference_is_complete(before: list[Access], after: list[Access]) -> None:
    old, new = ({entry.key: entry.permissions for entry in entries} for entries in (before, after))
    assert len(difference(before, after)) == sum(old.get(key) != new.get(key) for key in old | new)


def listed(guid: str, name: str, kind: str = "User") -> Access:
    return Access(guid, kind, frozenset({"read"}), name)


ROLES = (
    listed("AuthenticatedUser", "Authenticated User", APPLICATION_ROLE), listed("u-17", "Jo Ann"),
    listed("BIServiceAdministrator", "BI Service Administrator", APPLICATION_ROLE), listed("u-18", "Jo Doe"),
    listed("u-19", "Jo Doe"), listed("jo doe", "Jo Ann", APPLICATION_ROLE),
)  # fmt: skip


@pytest.mark.parametrize(
    ("account", "kind", "guid"),
    [
        ("Authenticated User", APPLICATION_ROLE, "AuthenticatedUser"),
        ("AuthenticatedUser", APPLICATION_ROLE, "AuthenticatedUser"),
        ("Authenticated\u3000User ", APPLICATION_ROLE, "AuthenticatedUser"),
        ("jo ann", "User", "u-17"),
        ("U-19", "User", "u-19"),
        # Not in the list.
        ("DV Consumer", APPLICATION_ROLE, "DVConsumer"),
        ("authenticated user", APPLICATION_ROLE, "authenticateduser"),
        ("Jo Who", "User", "Jo Who"),
        ("Authenticated User", "User", "Authenticated User"),
    ],
)
@pytest.mark.parametrize("mode", [REPLACE_MATCHING, DELETE_MATCHING])
def test_an_account_is_sent_by_its_guid(account: str, kind: str, guid: str, mode: str) -> None:
    (entry,) = resolved([access(account, ["read"], kind)], ROLES)
    (sent,) = acl.update("folders", "L3g", [entry], mode=mode).body["aclList"]
    assert (sent["accountGuid"], sent["accountType"]) == (guid, kind)
    if guid in {one.account for one in ROLES}:
        assert not difference(ROLES, expected(ROLES, [entry], REPLACE_MATCHING))
        assert len(expected(ROLES, [entry], DELETE_MATCHING)) == len(ROLES) - 1


@pytest.mark.parametrize(
    ("named", "mode", "says"),
    [
        ([access("Jo Doe")], REPLACE_ALL, "User 'Jo Doe' is ambiguous. Next step: give one of 'u-18', 'u-19'"),
        ([access("Jo Ann"), access("u-17")], REPLACE_ALL, "these appear twice: u-17"),
        ([access("DV X", [], APPLICATION_ROLE), access("DVX", [], APPLICATION_ROLE)], REPLACE_ALL, "twice: DVX"),
        ([], REPLACE_ALL, "No account given"),
        ([JANE], "replaceAll", "must be one of ReplaceMatchingAccounts, DeleteMatchingAccounts, ReplaceAll"),
        ([JANE, access("Jane")], REPLACE_MATCHING, "these appear twice: jane"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(named: list[Access], mode: str, says: str) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        acl.update("folders", "L3g", resolved(named, ROLES), mode=mode)


def test_an_account_that_oac_shows_under_another_id_counts_as_taken() -> None:
    by_name = (JANE, listed("guid-1", "Joe"))
    check_taken(resolved([JANE, JOE], by_name), by_name)
    check_taken([JOE], (JANE, listed("guid-1", "Joe Doe")))
    check_taken([access("nobody")], BEFORE)
    with pytest.raises(OACError, match=r"but its list does not show User 'joe'. Likely cause"):
        check_taken([JANE, JOE], BEFORE)


@pytest.mark.parametrize(
    ("account", "permissions", "kind"),
    [
        *((account, ["read"], "User") for account in ("", " None ", True, ["x"])), ("x", [], "Group"),
        *(("x", permissions, "User") for permissions in (["read", "fly"], "reed", [7], [["read"]])),
    ],
)  # fmt: skip
def test_an_entry_that_oac_does_not_know_is_refused(account: Any, permissions: Any, kind: str) -> None:
    with pytest.raises(OACConfigurationError, match="Expected: a name, a type of User, ApplicationRole"):
        access(account, permissions, kind)


def test_digits_are_an_account() -> None:
    assert access(4711, ["read"]) == access("4711", ["read"])


def test_all_permissions_are_sent_and_none_for_a_removal() -> None:
    assert acl.update("folders", "L3g", [JANE]).body["updateMode"] == REPLACE_MATCHING
    (entry,) = acl.update("folders", "L3g", [JANE]).body["aclList"]
    assert entry["permissions"] == {name: name in ("read", "list") for name in PERMISSIONS}
    (entry,) = acl.update("folders", "L3g", [JANE], mode=DELETE_MATCHING).body["aclList"]
    assert entry == {"accountGuid": "jane", "accountType": "User"}


def test_unknown_members_and_permissions_are_kept() -> None:
    permissions = {"read": True, "fly": "true", "list": False}
    body = [{"accountGuid": "x", "accountType": "Robot", "permissions": permissions, "a": 1}, {"accountGuid": "y"}]
    one, two = acl.get("folders", "L3g").read(response(200, json.dumps(body)))
    assert (one.account_type, one.allowed, one.raw["a"]) == ("Robot", ("read", "fly"), 1)
    assert (two.account_type, two.permissions) == ("", frozenset())
