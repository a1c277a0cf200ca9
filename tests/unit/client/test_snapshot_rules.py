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
CLASSES = {
    "a digit": string.digits,
    "a lower-case letter": string.ascii_lowercase,
    "an upper-case letter": string.ascii_uppercase,
    "a special character": string.punctuation,
}


def refused(password: str) -> str:
    try:
        check_password(password)
    except OACConfigurationError as error:
        return str(error)
    return ""


groups = st.tuples(*(st.text(alphabet, max_size=20) for alphabet in CLASSES.values()))
passwords = groups.flatmap(lambda texts: st.permutations("".join(texts))).map("".join)


@given(passwords | st.text(string.printable, max_size=60))
def test_exactly_the_documented_rule_and_a_message_that_names_what_is_missing(password: str) -> None:
    message = refused(password)
    missing = [name for name, alphabet in CLASSES.items() if not set(alphabet) & set(password)]
    fits = 14 <= len(password) <= 50
    assert bool(message) == (bool(missing) or not fits)
    if message:
        assert [name for name in CLASSES if name in message] == missing
        assert (f"14 to 50 characters (it has {len(password)})" in message) == (not fits)
        assert "new Connection" in message
        assert len(password) <= 3 or password not in message


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("Four Words, 1 Comma", ""),
        *(("Aa1-" + "x" * (length - 4), "") for length in (14, 50)),
        *(("Aa1-" + "x" * (length - 4), f"it has {length}") for length in (13, 51)),
        ("Passwort-mit-ä-٣", "a digit"),
        ("Lang genug 77 aB", "a special character"),
        ("Lang\tgenug\n77\x07aBcé", "a special character"),
        ("lang-genug-77-é-É", "an upper-case letter"),
        ("LANG-GENUG-77-é-É", "a lower-case letter"),
    ],
)
def test_the_limits_and_letters_of_other_scripts_blanks_and_control_characters(password: str, says: str) -> None:
    assert says in refused(password)
    assert bool(says) == bool(refused(password))


def test_a_snapshot_is_not_created_with_a_weak_password() -> None:
    with pytest.raises(OACConfigurationError) as caught:
        create("name", "file:///a.bar", Storage("bucket"), "weak-as-water")
    assert "weak-as-water" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("path", ["a", "folder/a", "a/b/c.d/e-f_g", ".hidden/a", "a..b"])
def test_paths_of_the_known_form_are_taken(path: str) -> None:
    assert checked_uri(f"file:///{path}.bar") == f"file:///{path}.bar"


@pytest.mark.parametrize(
    "uri",
    [
        "", "a.bar", "/a.bar", "file:/a.bar", "file://a.bar", "file:////a.bar", "file:///", "file:///.bar",
        "file:///folder/.bar", "file:///a", "file:///a.bar/", "file:///a.BAR", "file:///a//b.bar",
        "file:///../a.bar", "file:///a/../b.bar", "file:///a/./b.bar", "oci://bucket@ns/a.bar", "https://host/a.bar",
        "FILE:///a.bar", "file:///a.bar\n", "file:///a\n.bar", "file:///a\0.bar", " file:///a.bar",
    ],
)  # fmt: skip
def test_other_paths_are_refused_before_oac_is_asked(uri: str) -> None:
    for call in (lambda: create("n", uri, Storage("b"), GOOD), lambda: register("n", uri, Storage("b"))):
        with pytest.raises(OACConfigurationError, match=r"must look like file:///folder/name\.bar, not"):
            call()


@given(names, st.sampled_from(["", "a", "/a/b.c/"]))
def test_the_path_of_every_name_of_ours_is_of_the_known_form(name: SnapshotName, folder: str) -> None:
    uri = name.uri(checked_folder(folder))
    assert checked_uri(uri) == uri


def test_no_repr_shows_a_secret() -> None:
    user = UserIdAuthentication("region", "tenancy", "user", "aa:bb", "wrapped-key")
    call = create("name", "file:///a.bar", Storage("bucket", user=user), GOOD)
    assert (call.body["bar"]["password"], call.body["storage"]["auth"]["ociPrivateKeyWrapped"]) == (GOOD, "wrapped-key")
    shown = f"{call!r} {call} {user!r} {Storage('bucket', user=user)!r}"
    assert GOOD not in shown
    assert "wrapped-key" not in shown
