"""The rules for passwords and paths, checked before OAC is asked."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.rest.snapshots import (
    Storage,
    UserIdAuthentication,
    check_password,
    checked_uri,
    create,
    register,
)
from airflow_provider_oac.client.snapshot_names import SnapshotName, checked_folder
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.client.test_snapshot_names import names

GOOD = "Correct-Horse-7-Battery"


def refused(password: str) -> str | None:
    try:
        check_password(password)
    except OACConfigurationError as error:
        return str(error)
    return None


ascii_text = st.text(string.printable, max_size=60)
classes = st.tuples(
    st.text(string.digits, max_size=20),
    st.text(string.ascii_lowercase, max_size=20),
    st.text(string.ascii_uppercase, max_size=20),
    st.text(string.punctuation, max_size=20),
).flatmap(lambda groups: st.permutations("".join(groups))).map("".join)  # fmt: skip


@given(st.one_of(ascii_text, classes))
def test_exactly_the_documented_rule(password: str) -> None:
    follows = (
        14 <= len(password) <= 50
        and any(character in string.digits for character in password)
        and any(character in string.ascii_lowercase for character in password)
        and any(character in string.ascii_uppercase for character in password)
        and any(character in string.punctuation for character in password)
    )
    assert (refused(password) is None) == follows


@given(classes)
def test_the_message_names_what_is_missing_and_never_the_password(password: str) -> None:
    message = refused(password)
    if message is None:
        return
    if len(password) > 3:
        assert password not in message
    for what, alphabet in (
        ("a digit", string.digits),
        ("a lower-case letter", string.ascii_lowercase),
        ("an upper-case letter", string.ascii_uppercase),
        ("a special character", string.punctuation),
    ):
        assert (what in message) == (not set(alphabet) & set(password))
    assert (f"14 to 50 characters (it has {len(password)})" in message) == (not 14 <= len(password) <= 50)
    assert "new Connection" in message


@pytest.mark.parametrize("length", [14, 50])
def test_the_limits_are_within_the_rule(length: int) -> None:
    check_password("Aa1-" + "x" * (length - 4))


@pytest.mark.parametrize("length", [13, 51])
def test_beyond_the_limits_is_refused(length: int) -> None:
    assert refused("Aa1-" + "x" * (length - 4)) is not None


@pytest.mark.parametrize(
    ("password", "missing"),
    [
        ("Passwort-mit-ä-٣", "a digit"),
        ("Lang genug 77 aB", "a special character"),
        ("Lang genug 77 aBé", "a special character"),
        ("Lang\tgenug\n77\x07aBc", "a special character"),
        ("lang-genug-77-é-É", "an upper-case letter"),
        ("LANG-GENUG-77-é-É", "a lower-case letter"),
    ],
)
def test_letters_of_other_scripts_blanks_and_control_characters_are_no_substitute(password: str, missing: str) -> None:
    message = refused(password)
    assert message is not None
    assert missing in message


def test_a_blank_may_be_part_of_it() -> None:
    check_password("Four Words, 1 Comma")


def test_a_snapshot_is_not_ordered_with_a_weak_password() -> None:
    with pytest.raises(OACConfigurationError) as caught:
        create("name", "file:///a.bar", Storage("bucket"), "weak-as-water")
    assert "weak-as-water" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "uri",
    ["file:///a.bar", "file:///folder/a.bar", "file:///a/b/c.d/e-f_g.bar", "file:///.hidden/a.bar", "file:///a..b.bar"],
)
def test_paths_of_the_known_form_are_taken(uri: str) -> None:
    assert checked_uri(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "", "a.bar", "/a.bar", "file:/a.bar", "file://a.bar", "file:////a.bar", "file:///", "file:///.bar",
        "file:///folder/.bar", "file:///a", "file:///a.bar/", "file:///a.BAR", "file:///a//b.bar",
        "file:///../a.bar", "file:///a/../b.bar", "file:///a/./b.bar", "file:///a/../../b.bar",
        "oci://bucket@ns/a.bar", "https://host/a.bar", "FILE:///a.bar", "file:///a.bar\n", "file:///a\n.bar",
        "file:///a\0.bar", " file:///a.bar",
    ],
)  # fmt: skip
def test_other_paths_are_refused_before_oac_is_asked(uri: str) -> None:
    for order in (lambda: create("n", uri, Storage("b"), GOOD), lambda: register("n", uri, Storage("b"))):
        with pytest.raises(OACConfigurationError, match=r"must look like file:///folder/name\.bar, not"):
            order()


@given(names, st.sampled_from(["", "a", "/a/b.c/"]))
def test_the_path_of_every_name_of_ours_is_of_the_known_form(name: SnapshotName, folder: str) -> None:
    uri = name.uri(checked_folder(folder))
    assert checked_uri(uri) == uri


def test_no_repr_shows_a_secret() -> None:
    user = UserIdAuthentication("region", "tenancy", "user", "aa:bb", "wrapped-key")
    storage = Storage("bucket", user=user)
    call = create("name", "file:///a.bar", storage, GOOD)
    assert call.body["bar"]["password"] == GOOD
    assert call.body["storage"]["auth"]["ociPrivateKeyWrapped"] == "wrapped-key"
    for shown in (repr(call), repr(storage), repr(user), str(call)):
        assert GOOD not in shown
        assert "wrapped-key" not in shown
