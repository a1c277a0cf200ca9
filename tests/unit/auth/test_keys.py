from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_oac.auth import keys, pem_input
from airflow_provider_oac.auth.keys import PrivateKey
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth import keys_forms as forms
from tests.unit.auth.keys_forms import certificate_thumbprint, check_pair, load_private_key

KINDS = ["PKCS#1", "PKCS#8"]
KEY = forms.pem("PKCS#8")
ENCRYPTED = forms.pem("PKCS#8", forms.PASSPHRASE)
ARMOR = "-----BEGIN PRIVATE KEY-----{}-----END PRIVATE KEY-----"


def same(loaded: PrivateKey, number: int = 0) -> bool:
    return loaded.key.private_numbers() == forms.rsa_key(number=number).private_numbers()


def readings(text: str) -> list[bytes]:
    """What the block in a text may be, before the numbers of a key are checked, which takes 30 ms each time."""
    (block,) = pem_input.find(forms.take(text, "private key"))
    return [data for data, _ in block.readings]


def write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


# ----------------------------------------------------------------------------------------- all forms


@settings(deadline=None, max_examples=150)
@given(
    *(st.sampled_from(sorted(names)) for names in (forms.NEWLINES, forms.CARRIERS, forms.WRAPPINGS, KINDS)),
    st.booleans(),
)
def test_every_form_gives_the_bytes(newlines: str, carrier: str, wrapping: str, kind: str, encrypted: bool) -> None:
    text = forms.pem(kind, forms.PASSPHRASE if encrypted else None)
    found = readings(forms.damaged(text, newlines, carrier, wrapping))
    if encrypted and kind == "PKCS#1":
        assert "".join(found[0].decode().split()) == "".join(text.split())
    else:
        assert base64.b64decode(forms.body(text)) in found


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from([" ", "\n", "\t", "\r\n", "\\n", "\\r\\n", "\u00a0"])),
        max_size=40,
    ),
    st.booleans(),
    st.sampled_from([base64.urlsafe_b64encode, base64.b64encode]),
    st.sampled_from([forms.der("PKCS#1"), forms.der("PKCS#8"), forms.der("PKCS#8", forms.PASSPHRASE)]),
)
def test_base64_of_der_is_read_however_it_is_wrapped(
    blanks: list[tuple[int, str]], pad: bool, encode: Callable[[bytes], bytes], der: bytes
) -> None:
    text = encode(der).decode()
    text = text if pad else text.rstrip("=")
    # None of them into another one: halves of an escape are something else.
    for at, blank in sorted(((min(at, len(text)), blank) for at, blank in blanks), reverse=True):
        text = text[:at] + blank + text[at:]
    assert der in readings(text)


FORMS = {**forms.NEWLINES, **forms.CARRIERS, **forms.TRANSFORMED}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_happened_to_the_text_is_undone_and_named(kind: str, name: str) -> None:
    change, named = FORMS[name]
    assert "+" in forms.body(forms.pem(kind))
    loaded = load_private_key(change(forms.pem(kind)))
    assert same(loaded)
    assert (loaded.form, loaded.warning) == (named.format(kind), None)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0", b" "])
@pytest.mark.parametrize("kind", KINDS)
def test_what_an_editor_added_to_der_before_base64_is_dropped(kind: str, end: bytes) -> None:
    body = base64.b64encode(forms.der(kind) + end).decode()
    assert same(load_private_key(body))
    assert same(load_private_key(ARMOR.format(f"\n{body}\n")))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("kind", KINDS)
def test_utf_16_is_read_and_named(kind: str, encoding: str, tmp_path: Path) -> None:
    encoded = forms.pem(kind).encode(encoding)
    loaded = load_private_key(str(write(tmp_path / "key", encoded)))
    assert same(loaded)
    assert loaded.form == f"file with UTF-16 PEM {kind}"
    assert load_private_key(forms.base64_of(encoded)).form == f"base64 of UTF-16 PEM {kind}"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (ENCRYPTED, "PEM encrypted PKCS#8"),
        (forms.pem("PKCS#1", forms.PASSPHRASE), "PEM encrypted PKCS#1"),
        (forms.damaged(ENCRYPTED, "blanks"), "PEM encrypted PKCS#8 with blanks instead of newlines"),
        (forms.base64_of(forms.der("PKCS#8", forms.PASSPHRASE)), "base64 of DER"),
    ],
    ids=["PKCS#8", "PKCS#1", "blanks", "DER"],
)
@pytest.mark.parametrize("newline", ["", "\n", "\r\n", "\n\n"])
def test_a_passphrase_opens_a_key_with_or_without_a_newline(text: str, form: str, newline: str) -> None:
    loaded = load_private_key(text, forms.PASSPHRASE + newline)
    assert same(loaded)
    assert (loaded.form, loaded.warning) == (form, None)


@pytest.mark.parametrize("last", [b"\xfe", b"\x01"], ids=["a plus at the end", "none there"])
@pytest.mark.parametrize("form", ["{}", " {} "], ids=["alone", "with blanks around"])
@pytest.mark.parametrize("inside", ["{}", " {} "], ids=["alone", "with blanks around"])
def test_a_plus_that_was_lost_at_the_end_is_put_back(last: bytes, form: str, inside: str) -> None:
    der = b"\x30\x82\x01\x01" + b"\xfe" * 256 + last
    inner = forms.base64_of(der).replace("+", " ")
    assert inner.endswith(" ") is (last == b"\xfe")
    assert der in readings(form.format(ARMOR.format(inside.format(inner))))


@pytest.mark.parametrize(
    "text",
    [
        forms.certificate_pem() + KEY,
        KEY + forms.certificate_pem(),
        (forms.certificate_pem() + KEY).replace("\n", " "),
        (forms.public_pem() + KEY + forms.certificate_pem()).replace("\n", ""),
        f"~~~\n{KEY}~~~",
        "/key.pem: " + KEY.replace("\n", " "),
        f"000 key\n{KEY}",
        KEY.split("-----END")[0],
    ],
    ids=["last", "first", "blanks", "one line", "fence", "path before it", "title like DER", "no end line"],
)
def test_the_key_is_taken_from_among_other_things(text: str) -> None:
    loaded = load_private_key(text)
    assert same(loaded)
    assert loaded.warning is None


def test_a_representation_holds_nothing_of_the_key() -> None:
    assert repr(load_private_key(KEY)) == "PrivateKey(form='PEM PKCS#8', warning=None)"


# --------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (KEY.encode(), "file with PEM PKCS#8"),
        (b"\xef\xbb\xbf" + forms.pem("PKCS#1").encode(), "file with PEM PKCS#1"),
        (KEY.replace("\n", "\\n").encode(), "file with PEM PKCS#8 with literal \\n"),
        (b"caf\xe9\n" + KEY.encode(), "file with PEM PKCS#8"),
        (base64.b64encode(forms.der("PKCS#8")), "file with base64 of DER"),
        (forms.der("PKCS#8"), "file with binary DER"),
        (forms.der("PKCS#1") + b"\n", "file with binary DER"),
    ],
    ids=["PEM", "byte order mark", "literal", "not UTF-8", "base64", "DER", "DER and newline"],
)
def test_files_are_read_in_every_form(tmp_path: Path, content: bytes, form: str) -> None:
    loaded = load_private_key(str(write(tmp_path / "key", content)))
    assert same(loaded)
    assert (loaded.form, loaded.warning) == (form, None)


@pytest.mark.parametrize("named", ["{}/key.pem", "{}/a key.pem", ' "{}/clé"\n', "~/key.pem"])
def test_files_are_named_by_their_path(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("key.pem", "a key.pem", "clé"):
        write(tmp_path / name, KEY)
    assert same(load_private_key(named.format(tmp_path)))


# ------------------------------------------------------------------------------------------ warnings


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_may_read_is_a_warning(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "key.pem", KEY, mode)
    loaded = load_private_key(str(path))
    assert same(loaded)
    open_to_others = f"the file {str(path)!r} is open to other users of the machine (mode {mode:04o}): chmod 600 it"
    assert loaded.warning == open_to_others


TWO_KEYS = "2 private keys were given and the first one is used: remove the others"
NOT_NEEDED = "a passphrase is given but the key is not encrypted: remove the passphrase"


@pytest.mark.parametrize(
    ("text", "passphrase", "warning"),
    [
        (KEY + forms.pem("PKCS#1", number=1), "", TWO_KEYS),
        (KEY, "", None),
        *((forms.pem(kind), forms.PASSPHRASE, NOT_NEEDED) for kind in KINDS),
    ],
    ids=["two keys", "nothing", "passphrase", "passphrase"],
)
def test_what_is_too_much_is_a_warning(text: str, passphrase: str, warning: str | None) -> None:
    loaded = load_private_key(text, passphrase)
    assert same(loaded)
    assert loaded.warning == warning


def test_a_warning_is_logged_once_even_by_many_threads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "key.pem", KEY, 0o644)
    with caplog.at_level(logging.DEBUG), ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load_private_key(str(path), forms.PASSPHRASE), range(8)))
    assert {id(key) for key in loaded} == {id(loaded[0])}
    (record,) = [record for record in caplog.records if record.name == keys.__name__]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"The private key (file with PEM PKCS#8) works, but {loaded[0].warning}."
    assert "chmod 600 it; a passphrase is given" in record.getMessage()
    assert forms.PASSPHRASE not in record.getMessage()


def test_a_key_that_is_as_it_should_be_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "key.pem", f"nothing to warn of\n{KEY}")
    with caplog.at_level(logging.DEBUG):
        load_private_key(str(path))
    assert [record for record in caplog.records if record.name == keys.__name__] == []


# -------------------------------------------------------------------------------------------- cache


def test_a_key_is_checked_once_and_read_anew_when_anything_changes(tmp_path: Path) -> None:
    first = load_private_key(ENCRYPTED, forms.PASSPHRASE)
    assert load_private_key(ENCRYPTED, forms.PASSPHRASE) is first
    for passphrase, problem in (("another passphrase", "does not open"), (None, "no passphrase")):
        with pytest.raises(OACConfigurationError, match=problem):
            load_private_key(ENCRYPTED, passphrase)

    path = write(tmp_path / "key.pem", KEY.strip())
    held = load_private_key(str(path))
    assert load_private_key(str(path)) is held
    assert (held.form, load_private_key(KEY).form) == ("file with PEM PKCS#8", "PEM PKCS#8")
    write(path, forms.pem("PKCS#8", number=1))
    assert same(load_private_key(str(path)), 1)
    path.chmod(0o644)
    assert load_private_key(str(path)).warning is not None
    path.unlink()
    with pytest.raises(OACConfigurationError, match="does not exist"):
        load_private_key(str(path))


# -------------------------------------------------------------------------------------- certificates


def test_certificates_are_found_in_every_form_in_files_and_beside_keys(tmp_path: Path) -> None:
    der = forms.certificate().public_bytes(Encoding.DER)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha1(der).digest()).decode().rstrip("=")  # noqa: S324
    for text in (
        *(change(forms.certificate_pem()) for change, _ in FORMS.values()),
        forms.base64_of(der),
        str(write(tmp_path / "c.der", der, 0o644)),
        KEY + forms.certificate_pem() + forms.certificate_pem(1),
    ):
        assert certificate_thumbprint(text) == thumbprint
        check_pair(load_private_key(KEY), text)
