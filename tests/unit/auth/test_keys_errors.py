"""What cannot be used as a key or a certificate: each error names what it is, and none shows a piece of a secret."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PublicFormat, pkcs12
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_oac.auth import keys
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth import keys_forms as forms
from tests.unit.auth.keys_forms import base64_of, certificate_thumbprint, load_private_key
from tests.unit.auth.nobody import as_nobody, folder_of_anybody  # noqa: F401

KINDS = ["PKCS#1", "PKCS#8"]
KEY, PUBLIC, CERTIFICATE = forms.pem("PKCS#8"), forms.public_pem(), forms.certificate_pem()
ENCRYPTED = {kind: forms.pem(kind, forms.PASSPHRASE) for kind in KINDS}
PEM = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"
SECRET_RUN = 12
SECRET_BODIES = [forms.body(text) for kind in KINDS for text in (forms.pem(kind), ENCRYPTED[kind])]


def plain(text: str) -> str:
    """A text without what wraps base64, so that a leak is found however it is broken up."""
    return "".join(text.replace("\\n", "").split())


def shown(error: BaseException) -> str:
    """All that anybody can see of an error: message, repr, and its traceback."""
    return "\n".join([str(error), repr(error), repr(vars(error)), *traceback.format_exception_only(error)])


def leaks(text: str, *secrets: str) -> list[str]:
    text = plain(text)
    return [
        run
        for secret in map(plain, secrets)
        for start in range(max(1, len(secret) - SECRET_RUN + 1))
        if (run := secret[start : start + SECRET_RUN]) in text
    ]


def message_of(error: OACConfigurationError, *secrets: str) -> str:
    assert error.__cause__ is None
    assert error.__context__ is None, "the exception that was handled may hold the key"
    assert leaks(shown(error), *secrets) == []
    return str(error)


def refused(text: str, passphrase: str | None = None, read: Callable[..., object] = load_private_key) -> str:
    with pytest.raises(OACConfigurationError) as caught:
        read(text, *[passphrase] if passphrase else [])
    return message_of(caught.value, *SECRET_BODIES)


def same_or_refused(text: str, passphrase: str | None, *secrets: str) -> None:
    """Read a key that may be damaged: it is ours, or the error does not show it."""
    try:
        loaded = load_private_key(text, passphrase)
    except OACConfigurationError as error:
        message_of(error, *secrets)
    else:
        assert loaded.key.private_numbers() == forms.rsa_key().private_numbers()
        assert leaks(repr(loaded), *secrets) == []


# --------------------------------------------------------------------------------------------- keys


def many_primes_der(kind: str) -> bytes:
    """A key whose version says that it has more than two primes (RFC 8017 A.1.2)."""
    inner = forms.der("PKCS#1")
    assert inner[4:7] == b"\2\1\0"
    return forms.der(kind).replace(inner, inner[:4] + b"\2\1\1" + inner[7:])


def flipped() -> str:
    raw = bytearray(forms.der("PKCS#8"))
    raw[len(raw) // 2] ^= 1
    return PEM.format(base64_of(bytes(raw)))


def renumbered(identifier: str, last: int, passphrase: str | None = None) -> bytes:
    """A key whose object identifier of a kind or a cipher ends with another number."""
    known, der = bytes.fromhex(identifier), forms.der("PKCS#8", passphrase)
    assert known in der
    return der.replace(known, known[:-1] + bytes([last]))


RSA, AES_256 = "2a864886f70d010101", "60864801650304012a"
PSS = base64_of(renumbered(RSA, 0x0A))
EC, EC_ITS_OWN = (forms.pem_of(forms.EC_KEY, kind) for kind in ("PKCS#8", "PKCS#1"))
EC_ENCRYPTED = forms.pem_of(forms.EC_KEY, "PKCS#1", forms.PASSPHRASE)
BUNDLE = pkcs12.serialize_key_and_certificates(b"test", forms.rsa_key(), forms.certificate(), None, NoEncryption())
KEYSTORE = bytes.fromhex("feedfeed00000002") + b"\1" * 500
SSH_PUBLIC = forms.rsa_key().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
DOUBLED = base64_of(forms.der("PKCS#8") + forms.der("PKCS#1"))

ERRORS: dict[str, tuple[str, str]] = {
    "blank": (' \n\t "" ', "it is empty"),
    "mask": ("***", "only asterisks, the mask"),
    "longer mask": (' "********" ', "only asterisks, the mask"),
    "prose": ("the key is in the vault", "neither PEM nor DER"),
    "half a key": (forms.body(KEY)[300:600].lstrip("/"), "neither PEM nor DER"),
    "base64 of base64": (base64_of(base64_of(KEY)), "neither PEM nor DER"),
    "too long": ("A" * 200_000, "200000 bytes are too many"),
    "relative path": ("keys/oac.pem", "a relative path"),
    "file: URL": ("file:///keys/oac.pem", "a file: URL. Give the path alone"),
    "placeholder": ("${OAC_PRIVATE_KEY}", "placeholder that nothing has replaced"),
    "template": ("{{ var.value.key }}", "placeholder that nothing has replaced"),
    "public key": (PUBLIC, "it is a public key"),
    "public DER": (forms.body(PUBLIC), "it is a public key"),
    "OpenSSH public key": (SSH_PUBLIC, "an OpenSSH public key"),
    "OpenSSH private key": (forms.pem("OpenSSH"), "OpenSSH's own format (convert a copy of the file"),
    "certificate": (CERTIFICATE, "it is a certificate"),
    "certificate DER": (forms.body(CERTIFICATE), "it is a certificate"),
    "two kinds": (CERTIFICATE + PUBLIC + forms.certificate_pem(1), "it is a certificate and a public key"),
    "PKCS#12": (base64_of(BUNDLE), "PKCS#12 bundle"),
    "JKS in base64": (base64_of(KEYSTORE), "a Java keystore (convert a copy of it: keytool"),
    "RSA-PSS": (PEM.format(PSS), "PEM PKCS#8 on one line: an RSA-PSS key"),
    "three primes, PKCS#1": (base64_of(many_primes_der("PKCS#1")), "more than two primes"),
    "three primes, PKCS#8": (PEM.format(base64_of(many_primes_der("PKCS#8"))), "more than two primes"),
    "plus lost": (PEM.format(forms.body(KEY).replace("+", " ")[:-200] + " "), "write it as %2B there"),
    "PGP": ("-----BEGIN PGP MESSAGE-----\nabcd\n-----END PGP MESSAGE-----", "a PEM block of another kind"),
    "EC": (EC, "kind EC, and RS256 needs an RSA key"),
    "EC, its own format": (EC_ITS_OWN, "PEM EC key: a key of the kind EC"),
    "Ed25519": (forms.pem_of(ed25519.Ed25519PrivateKey.generate()), "kind Ed25519, and RS256"),
    "1024 bits": (forms.pem_of(forms.rsa_key(1024)), "an RSA key of 1024 bits, and RS256 needs 2048"),
    "cut off": ("\n".join([*KEY.splitlines()[:10], KEY.splitlines()[-1]]), "PEM PKCS#8: it is incomplete or damaged"),
    "cut off base64 DER": (base64_of(forms.der("PKCS#1")[:800]), "base64 of DER: it is incomplete or damaged"),
    "start lost": (KEY.replace("MIIE", "", 1), "it is incomplete or damaged"),
    "no body": (PEM.format(""), "it is empty"),
    "body left out": (PEM.format("..."), "its body is not base64"),
    "doubled body": (PEM.format(DOUBLED), "characters are missing, added or changed"),
    "lost backslashes": (KEY.replace("\n", "n"), "the backslash of every \\n is lost"),
    "changed bit": (flipped(), "characters are missing, added or changed. Copy the whole file again"),
    "encrypted PKCS#8": (ENCRYPTED["PKCS#8"], "PEM encrypted PKCS#8: it is encrypted, and no passphrase is given"),
    "encrypted PKCS#1": (ENCRYPTED["PKCS#1"], "PEM encrypted PKCS#1: it is encrypted, and no passphrase is given"),
    "encrypted DER": (base64_of(forms.der("PKCS#8", forms.PASSPHRASE)), "base64 of DER: it is encrypted, and no pass"),
    "unknown kind": (base64_of(renumbered(RSA, 0x63)), "or its encryption cannot be read here. Give an RSA key"),
    "piece of a key like a path": ("/" + forms.body(KEY)[40:600], "it is a path"),
    "lines of a key like a path": ("/" + "\n".join(KEY.splitlines()[2:9]), "neither PEM nor DER"),
    "unknown user": ("~nobody-of-this-name/key.pem", "does not exist"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_used_is_named(case: str) -> None:
    text, named = ERRORS[case]
    message = refused(text)
    assert message.startswith("The private key cannot be used: ")
    assert named in message
    assert message.endswith(".")
    assert ". ." not in message


CERTIFICATE_ERRORS: dict[str, tuple[str, str]] = {
    "private key": (KEY, "it is a private key"),
    "private DER": (base64_of(forms.der("PKCS#8")), "it is a private key"),
    "encrypted DER": (base64_of(forms.der("PKCS#8", forms.PASSPHRASE)), "it is a private key"),
    "public key": (PUBLIC, "it is a public key"),
    "cut off": ("\n".join(CERTIFICATE.splitlines()[:8]), "PEM certificate: it is incomplete"),
    "changed": (CERTIFICATE.replace("MII", "AII", 1), "PEM certificate: it is incomplete or damaged"),
}


@pytest.mark.parametrize("case", CERTIFICATE_ERRORS)
def test_what_is_no_certificate_is_named(case: str) -> None:
    text, named = CERTIFICATE_ERRORS[case]
    message = refused(text, read=certificate_thumbprint)
    assert message.startswith("The certificate cannot be used: ")
    assert named in message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "passphrase", ["not the passphrase", "x", "\n", "\ud800 not encodable", "p" * 3000], ids=range(5)
)
def test_a_wrong_passphrase_is_named_and_not_shown(kind: str, passphrase: str) -> None:
    message = refused(ENCRYPTED[kind], passphrase)
    assert f"PEM encrypted {kind}: the passphrase does not open it" in message
    assert len(passphrase) < SECRET_RUN or passphrase[:SECRET_RUN] not in message


@pytest.mark.parametrize(
    ("text", "passphrase", "named"),
    [
        pytest.param(ENCRYPTED["PKCS#8"], "***", "passphrase is only asterisks", id="mask as passphrase"),
        pytest.param(EC_ENCRYPTED, forms.PASSPHRASE, "a key of the kind EC, and RS256 needs an RSA key", id="EC"),
        pytest.param(
            base64_of(renumbered(AES_256, 0x63, forms.PASSPHRASE)), forms.PASSPHRASE,
            "its cipher unknown here: convert it with openssl pkcs8", id="unknown cipher",
        ),
        pytest.param(
            ENCRYPTED["PKCS#1"].replace("AES-256-CBC", "RC2-40-CBC"), forms.PASSPHRASE,
            "openssl pkcs8 -topk8", id="old cipher",
        ),
    ],
)  # fmt: skip
def test_an_encrypted_key_that_cannot_be_used_is_named(text: str, passphrase: str, named: str) -> None:
    assert named in refused(text, passphrase)


# --------------------------------------------------------------------------------------------- files


def test_missing_files_say_how_much_of_the_path_exists(tmp_path: Path) -> None:
    message = refused(f"{tmp_path}/no/such.pem")
    assert "does not exist" in message
    assert f"(of its path, {str(tmp_path)!r} exists). Give the private key itself, or the absolute path" in message
    assert "such.pem" not in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"A" * 200_000, "is larger than 131072 bytes"),
        (KEYSTORE, "a Java keystore"),
        (b"hello", "a file of 5 bytes that is neither"),
        (forms.der("PKCS#8")[:-9], "file with binary DER: it is incomplete"),
    ],
    ids=["large", "JKS", "text", "cut DER"],
)
def test_a_file_without_a_key_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    assert said in refused(str(tmp_path / "key"))


def test_an_unreadable_file_names_the_user(anybodys: Path) -> None:
    path = anybodys / "key.pem"
    path.write_text(KEY)
    path.chmod(0o000)
    with as_nobody() as user:
        message = refused(str(path))
    assert f"may not be read by this process (user id {user}) (of its path, {str(path)!r} exists)" in message


def test_keys_and_certificates_outside_of_the_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    folder = str(tmp_path / "allowed")
    key = load_private_key(KEY)
    readers: tuple[Callable[[str], Any], ...] = (
        lambda path: keys.load_private_key(path, folder=folder),
        lambda path: keys.certificate_expiry(path, folder=folder),
        lambda path: keys.certificate_thumbprint(path, folder=folder),
        lambda path: keys.check_pair(key, path, folder=folder),
    )
    for read in readers:
        assert "lies outside of" in refused(str(tmp_path / "key"), read=read)
    assert readers[0](KEY) == key


# --------------------------------------------------------------------------------------- any damage


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    encrypted=st.booleans(),
    passphrase=st.sampled_from([None, forms.PASSPHRASE, "another passphrase"]),
    cut=st.integers(0, 40),
    at=st.floats(0, 1),
    put=st.text(max_size=5),
    newlines=st.sampled_from(sorted(forms.NEWLINES)),
    carrier=st.sampled_from(sorted(forms.CARRIERS)),
)
def test_damage_never_shows_the_key(
    kind: str, encrypted: bool, passphrase: str | None, cut: int, at: float, put: str, newlines: str, carrier: str
) -> None:
    pem = ENCRYPTED[kind] if encrypted else forms.pem(kind)
    text = forms.damaged(pem, newlines, carrier)
    where = int(len(text) * at)
    text = text[:where] + put + text[where + cut :]
    encoded = [text] if carrier.startswith("base64") else []
    same_or_refused(text, passphrase, forms.body(pem), forms.PASSPHRASE, "another passphrase", *encoded)


@settings(deadline=None, max_examples=100)
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="AMIz09+/=-_ \n\\n%~.:{}'\"*0B"),
        st.text().map(PEM.format),
        st.binary().map(lambda raw: base64_of(b"\x30" + raw)),
        st.text(alphabet=st.characters(categories=["Cs", "Lu", "Zs"])).map(lambda text: f"~{text}"),
        st.text().map(lambda text: f"/{text}"),
    ),
    st.none() | st.text(alphabet=st.characters(), max_size=20),
)
@example("-----BEGIN" * 2000, None)
@example("-" * 100_000, None)
@example("~\ud800", None)
@example("/\0", None)
@example("-----BEGIN " + " " * 50_000, None)
def test_no_text_raises_anything_else(text: str, passphrase: str | None) -> None:
    for read in (lambda: load_private_key(text, passphrase), lambda: certificate_thumbprint(text)):
        with pytest.raises(OACConfigurationError) as caught:
            read()
        message_of(caught.value)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(),
        st.binary().map(lambda raw: b"\x30\x82" + len(raw).to_bytes(2, "big") + raw),
        st.text().map(lambda text: text.encode("utf-16")),
        st.integers(0, 1200).map(lambda at: forms.der("PKCS#8")[:at] + b"\xff" + forms.der("PKCS#8")[at + 1 :]),
    )
)
def test_no_file_raises_anything_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    same_or_refused(str(tmp_path / "key"), forms.PASSPHRASE, base64_of(forms.der("PKCS#8")), forms.PASSPHRASE)
