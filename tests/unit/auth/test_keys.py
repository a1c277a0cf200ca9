from __future__ import annotations

import base64
import hashlib
import itertools
import logging
import shutil
import subprocess
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
newlines, carriers, wrappings = (
    st.sampled_from(sorted(names)) for names in (forms.NEWLINES, forms.CARRIERS, forms.WRAPPINGS)
)


def same(loaded: PrivateKey, number: int = 0) -> bool:
    return loaded.key.private_numbers() == forms.rsa_key(number=number).private_numbers()


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def thumbprint() -> str:
    digest = hashlib.sha1(forms.certificate().public_bytes(Encoding.DER)).digest()  # noqa: S324
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


# ----------------------------------------------------------------------------------------- all forms


@settings(deadline=None, max_examples=150)
@given(newlines=newlines, carrier=carriers, wrapping=wrappings, kind=st.sampled_from(KINDS), encrypted=st.booleans())
def test_every_form_gives_back_the_very_bytes(
    newlines: str, carrier: str, wrapping: str, kind: str, encrypted: bool
) -> None:
    """Compared before the numbers of a key are checked, which takes 30 ms each time."""
    text = forms.pem(kind, forms.PASSPHRASE if encrypted else None)
    (block,) = pem_input.find(forms.take(forms.damaged(text, newlines, carrier, wrapping), "private key"))
    found = [data for data, _ in block.readings]
    if encrypted and kind == "PKCS#1":
        assert "".join(found[0].decode().split()) == "".join(text.split())
    else:
        assert base64.b64decode(forms.body(text)) in found
    assert (f"encrypted {kind}" if encrypted else kind) in block.form("")


@settings(deadline=None, max_examples=100)
@given(newlines=newlines, carrier=carriers, wrapping=wrappings)
def test_certificates_are_read_in_every_form(newlines: str, carrier: str, wrapping: str) -> None:
    text = forms.damaged(forms.certificate_pem(), newlines, carrier, wrapping)
    assert certificate_thumbprint(text) == thumbprint()


@settings(deadline=None, max_examples=60)
@given(
    blanks=st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from([" ", "\n", "\t", "\r\n", "\\n", "\\r\\n", "\u00a0"])),
        max_size=40,
    ),
    pad=st.booleans(),
    safe=st.booleans(),
    kind=st.sampled_from(KINDS),
    passphrase=st.sampled_from([None, forms.PASSPHRASE]),
)
def test_base64_of_der_is_read_however_it_is_wrapped(
    blanks: list[tuple[int, str]], pad: bool, safe: bool, kind: str, passphrase: str | None
) -> None:
    kind = "PKCS#8" if passphrase else kind  # there is no encrypted PKCS#1 without PEM
    text = (base64.urlsafe_b64encode if safe else base64.b64encode)(forms.der(kind, passphrase)).decode()
    text = text if pad else text.rstrip("=")
    # None of them into another one: halves of an escape are something else.
    for at, blank in sorted(((min(at, len(text)), blank) for at, blank in blanks), reverse=True):
        text = text[:at] + blank + text[at:]
    (block,) = pem_input.find(forms.take(text, "private key"))
    assert forms.der(kind, passphrase) in [data for data, _ in block.readings]
    assert block.form("") == "base64 of DER"


# -------------------------------------------------------------------------------------- usable keys


@pytest.mark.parametrize(("name", "kind"), list(zip(forms.NEWLINES, itertools.cycle(KINDS), strict=False)))
def test_what_happened_to_the_newlines_is_named(name: str, kind: str) -> None:
    loaded = load_private_key(forms.damaged(forms.pem(kind), name))
    assert same(loaded)
    assert loaded.form == f"PEM {kind} {forms.NEWLINES[name][1]}".rstrip()
    assert loaded.warning is None


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0", b" "])
@pytest.mark.parametrize("kind", KINDS)
def test_what_an_editor_added_to_der_before_base64_is_dropped(kind: str, end: bytes) -> None:
    body = base64.b64encode(forms.der(kind) + end).decode()
    assert same(load_private_key(body))
    assert same(load_private_key(f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"))


def test_a_title_above_the_key_is_not_taken_for_der() -> None:
    assert same(load_private_key(f"000 key\n{forms.pem('PKCS#8')}"))


@pytest.mark.parametrize(("name", "kind"), list(zip(forms.CARRIERS, itertools.cycle(KINDS), strict=False)))
def test_what_the_key_was_put_into_is_named(name: str, kind: str) -> None:
    loaded = load_private_key(forms.damaged(forms.pem(kind), carrier=name))
    assert same(loaded)
    assert kind in loaded.form
    assert forms.CARRIERS[name][1] in loaded.form


@pytest.mark.parametrize("name", sorted(forms.TRANSFORMED))
@pytest.mark.parametrize("kind", KINDS)
def test_what_happened_to_the_whole_text_is_undone_and_named(kind: str, name: str) -> None:
    change, named = forms.TRANSFORMED[name]
    pem = forms.pem(kind)
    assert "+" in forms.body(pem)
    loaded = load_private_key(change(pem))
    assert same(loaded)
    assert loaded.form == ("base64 of DER" if "DER" in name else f"PEM {kind}") + named


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("kind", KINDS)
def test_utf_16_is_read_and_named(kind: str, encoding: str, tmp_path: Path) -> None:
    encoded = forms.pem(kind).encode(encoding)
    loaded = load_private_key(str(write(tmp_path / "key", encoded)))
    assert same(loaded)
    assert loaded.form == f"file with UTF-16 PEM {kind}"
    assert load_private_key(forms.base64_of(encoded)).form == f"base64 of UTF-16 PEM {kind}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["real", "literal", "blanks", "lost with all blanks"])
def test_encrypted_keys_are_opened(kind: str, name: str) -> None:
    loaded = load_private_key(forms.damaged(forms.pem(kind, forms.PASSPHRASE), name), forms.PASSPHRASE)
    assert same(loaded)
    assert f"encrypted {kind}" in loaded.form
    assert loaded.warning is None


def test_encrypted_base64_of_der_is_opened() -> None:
    loaded = load_private_key(forms.base64_of(forms.der("PKCS#8", forms.PASSPHRASE)), forms.PASSPHRASE)
    assert same(loaded)
    assert loaded.form == "base64 of DER"


@pytest.mark.parametrize(("kind", "number"), [("PKCS#8", 0), ("PKCS#1", 1)])
def test_a_plus_that_a_uri_turned_into_a_blank_is_put_back(kind: str, number: int) -> None:
    pem = forms.pem(kind, number=number)
    assert "+" in forms.body(pem)
    loaded = load_private_key(forms.plus_lost(pem))
    assert same(loaded, number)
    assert loaded.form == f"PEM {kind} with blanks instead of +"


def test_a_plus_that_was_lost_at_the_end_is_put_back() -> None:
    der = b"\x30\x82\x01\x01" + b"\xfe" * 257
    pem = f"-----BEGIN PRIVATE KEY-----\n{forms.base64_of(der)}\n-----END PRIVATE KEY-----\n"
    assert forms.body(pem).endswith("+")
    for text in (forms.plus_lost(pem), f" {forms.plus_lost(pem)} "):
        (block,) = pem_input.find(forms.take(text, "private key"))
        assert der in [data for data, _ in block.readings]


@pytest.mark.parametrize("last", [b"\xfe", b"\x01"], ids=["a plus at the end", "none there"])
def test_blanks_around_a_line_that_lost_its_plus_do_not_matter(last: bytes) -> None:
    der = b"\x30\x82\x01\x01" + b"\xfe" * 256 + last
    inner = forms.base64_of(der).replace("\n", "").replace("+", " ")
    assert inner.endswith(" ") is (last == b"\xfe")
    (block,) = pem_input.find(
        forms.take(f"-----BEGIN PRIVATE KEY----- {inner} -----END PRIVATE KEY-----", "private key")
    )
    assert der in [data for data, _ in block.readings]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n"])
def test_the_last_newline_of_a_passphrase_does_not_matter(newline: str) -> None:
    assert same(load_private_key(forms.pem("PKCS#8", forms.PASSPHRASE), forms.PASSPHRASE + newline))


@pytest.mark.parametrize(
    "text",
    [
        forms.certificate_pem() + forms.pem("PKCS#8"),
        forms.pem("PKCS#8") + forms.certificate_pem(),
        (forms.certificate_pem() + forms.pem("PKCS#8")).replace("\n", " "),
        (forms.public_pem() + forms.pem("PKCS#8") + forms.certificate_pem()).replace("\n", ""),
        f"~~~\n{forms.pem('PKCS#8')}~~~",
        "/key.pem: " + forms.pem("PKCS#8").replace("\n", " "),
    ],
    ids=["last", "first", "blanks", "one line", "fence", "path before it"],
)
def test_the_key_is_taken_from_among_other_things(text: str) -> None:
    loaded = load_private_key(text)
    assert same(loaded)
    assert loaded.warning is None


def test_a_key_without_its_end_line_is_read_if_it_is_whole() -> None:
    assert same(load_private_key(forms.pem("PKCS#8").split("-----END")[0]))


def test_a_representation_holds_nothing_of_the_key() -> None:
    loaded = load_private_key(forms.pem("PKCS#8"))
    assert repr(loaded) == "PrivateKey(form='PEM PKCS#8', warning=None)"
    with pytest.raises(AttributeError):
        loaded.form = "another"  # type: ignore[misc]


# --------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (forms.pem("PKCS#8").encode(), "file with PEM PKCS#8"),
        (b"\xef\xbb\xbf" + forms.pem("PKCS#1").encode(), "file with PEM PKCS#1"),
        (forms.pem("PKCS#8").replace("\n", "\\n").encode(), "file with PEM PKCS#8 with literal \\n"),
        (b"caf\xe9\n" + forms.pem("PKCS#8").encode(), "file with PEM PKCS#8"),
        (base64.b64encode(forms.der("PKCS#8")), "file with base64 of DER"),
        (forms.der("PKCS#8"), "file with binary DER"),
        (forms.der("PKCS#1") + b"\n", "file with binary DER"),
    ],
    ids=["PEM", "byte order mark", "literal", "not UTF-8", "base64", "DER", "DER and newline"],
)
def test_files_are_read_in_every_form(tmp_path: Path, content: bytes, form: str) -> None:
    loaded = load_private_key(str(write(tmp_path / "key", content)))
    assert same(loaded)
    assert loaded.form == form
    assert loaded.warning is None


@pytest.mark.parametrize("name", ["key.pem", "a key.pem", "clé"])
def test_files_are_named_by_their_path(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, forms.pem("PKCS#8").encode())
    for text in (str(path), f' "{path}"\n'):
        assert same(load_private_key(text))


def test_a_file_in_the_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "key.pem", forms.pem("PKCS#8", forms.PASSPHRASE).encode())
    assert same(load_private_key("~/key.pem", forms.PASSPHRASE))


# ------------------------------------------------------------------------------------------ warnings


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_may_read_is_a_warning(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "key.pem", forms.pem("PKCS#8").encode(), mode)
    loaded = load_private_key(str(path))
    assert same(loaded)
    open_to_others = f"the file {str(path)!r} is open to other users of the machine (mode {mode:04o}): chmod 600 it"
    assert loaded.warning == open_to_others


def test_of_two_keys_the_first_is_used_with_a_warning() -> None:
    loaded = load_private_key(forms.pem("PKCS#8") + forms.pem("PKCS#1", number=1))
    assert same(loaded)
    assert loaded.warning == "2 private keys were given and the first one is used: remove the others"


@pytest.mark.parametrize("passphrase", [None, ""])
def test_an_empty_passphrase_is_none(passphrase: str | None) -> None:
    assert load_private_key(forms.pem("PKCS#8"), passphrase).warning is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_passphrase_that_is_not_needed_is_a_warning(kind: str) -> None:
    loaded = load_private_key(forms.pem(kind), forms.PASSPHRASE)
    assert same(loaded)
    assert loaded.warning == "a passphrase is given but the key is not encrypted: remove the passphrase"


def test_a_warning_is_logged_once_even_by_many_threads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "key.pem", forms.pem("PKCS#8").encode(), 0o644)
    with caplog.at_level(logging.DEBUG), ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load_private_key(str(path), forms.PASSPHRASE), range(8)))
    assert {id(key) for key in loaded} == {id(loaded[0])}
    (record,) = [record for record in caplog.records if record.name == keys.__name__]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"The private key (file with PEM PKCS#8) works, but {loaded[0].warning}."
    assert "chmod 600 it; a passphrase is given" in record.getMessage()
    assert forms.PASSPHRASE not in record.getMessage()


def test_a_key_that_is_as_it_should_be_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "key.pem", b"nothing to warn of\n" + forms.pem("PKCS#8").encode())
    with caplog.at_level(logging.DEBUG):
        load_private_key(str(path))
    assert [record for record in caplog.records if record.name == keys.__name__] == []


# -------------------------------------------------------------------------------------------- cache


def test_a_key_is_checked_once_and_read_anew_when_anything_changes(tmp_path: Path) -> None:
    text = forms.pem("PKCS#8", forms.PASSPHRASE)
    first = load_private_key(text, forms.PASSPHRASE)
    assert load_private_key(text, forms.PASSPHRASE) is first
    for passphrase, problem in (("another passphrase", "does not open"), (None, "no passphrase")):
        with pytest.raises(OACConfigurationError, match=problem):
            load_private_key(text, passphrase)

    path = write(tmp_path / "key.pem", forms.pem("PKCS#8").strip().encode())
    held = load_private_key(str(path))
    assert load_private_key(str(path)) is held
    assert held.form == "file with PEM PKCS#8"
    assert load_private_key(forms.pem("PKCS#8")).form == "PEM PKCS#8"
    write(path, forms.pem("PKCS#8", number=1).encode())
    assert same(load_private_key(str(path)), 1)
    path.chmod(0o644)
    assert load_private_key(str(path)).warning is not None
    path.unlink()
    with pytest.raises(OACConfigurationError, match="does not exist"):
        load_private_key(str(path))


def test_the_cache_is_bounded() -> None:
    assert keys._load.cache_parameters()["maxsize"] == 16


def test_the_cache_does_not_confuse_text_and_passphrase() -> None:
    longer = load_private_key(forms.pem("PKCS#8") + "ab", "c")
    assert load_private_key(forms.pem("PKCS#8") + "a", "bc") is not longer
    assert load_private_key(forms.pem("PKCS#8") + "ab", "c") is longer


# -------------------------------------------------------------------------------------- certificates


def test_certificates_are_found_in_files_and_beside_keys(tmp_path: Path) -> None:
    der = forms.certificate().public_bytes(Encoding.DER)
    for text in (
        forms.base64_of(der),
        str(write(tmp_path / "c.der", der, 0o644)),
        forms.pem("PKCS#8") + forms.certificate_pem() + forms.certificate_pem(1),
    ):
        assert certificate_thumbprint(text) == thumbprint()
        check_pair(load_private_key(forms.pem("PKCS#1")), text)


def test_the_thumbprint_is_the_one_that_openssl_prints(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    path = write(tmp_path / "c.pem", forms.certificate_pem().encode())
    command = ["openssl", "x509", "-in", str(path), "-noout", "-fingerprint", "-sha1"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    digest = bytes.fromhex(printed.split("=")[1].replace(":", ""))
    assert base64.urlsafe_b64decode(certificate_thumbprint(forms.certificate_pem()) + "=") == digest
