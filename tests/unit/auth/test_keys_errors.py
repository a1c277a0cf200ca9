"""What cannot be used as a key or a certificate: each error names what it is, and none shows a piece of a secret."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_oac.auth import keys
from airflow_provider_oac.auth.keys import PrivateKey
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth import keys_forms as forms
from tests.unit.auth.keys_forms import certificate_thumbprint, check_pair, load_private_key

KINDS = ["PKCS#1", "PKCS#8"]
PEM = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"
SECRET_RUN = 12


def plain(text: str) -> str:
    """A text without what wraps base64, so that a leak is found however it is broken up."""
    return "".join(text.replace("\\n", "").split())


def shown(error: BaseException) -> str:
    """All that anybody can see of an error: message, repr, and the whole chain with its tracebacks."""
    texts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        texts += [str(link), repr(link), repr(link.__dict__), *map(repr, link.args)]
        texts += traceback.format_exception_only(link)
        link = link.__cause__ or link.__context__
    return "\n".join(texts)


def leaks(text: str, *secrets: str) -> list[str]:
    text = plain(text)
    return [
        run
        for secret in map(plain, secrets)
        for start in range(max(1, len(secret) - SECRET_RUN + 1))
        if (run := secret[start : start + SECRET_RUN]) in text
    ]


def test_the_search_for_leaks_finds_one() -> None:
    secret = forms.body(forms.pem("PKCS#8"))
    error = OACConfigurationError("harmless")
    error.__context__ = ValueError(f"got {secret[70:76]}\\n{secret[76:82]}!")
    # Among others, should the text around it happen to go on like the secret.
    assert secret[70:82] in leaks(shown(error), secret)


def secret_bodies() -> list[str]:
    return [forms.body(forms.pem(kind, passphrase)) for kind in KINDS for passphrase in (None, forms.PASSPHRASE)]


def message_of(error: OACConfigurationError, *secrets: str) -> str:
    assert error.__cause__ is None
    assert error.__context__ is None, "the exception that was handled may hold the key"
    assert leaks(shown(error), *secrets) == []
    return str(error)


def refused(text: str, passphrase: str | None = None) -> str:
    with pytest.raises(OACConfigurationError) as caught:
        load_private_key(text, passphrase)
    return message_of(caught.value, *secret_bodies())


def same(loaded: PrivateKey) -> bool:
    return loaded.key.private_numbers() == forms.rsa_key().private_numbers()


def attempt(text: str, passphrase: str | None) -> PrivateKey | OACConfigurationError:
    try:
        return load_private_key(text, passphrase)
    except OACConfigurationError as error:
        return error


# --------------------------------------------------------------------------------------------- keys


def truncated(kind: str, keep: int) -> str:
    lines = forms.pem(kind).strip().splitlines()
    return "\n".join([*lines[:keep], lines[-1]])


def flipped(kind: str) -> str:
    raw = bytearray(forms.der(kind))
    raw[len(raw) // 2] ^= 1
    return PEM.format(forms.base64_of(bytes(raw)))


def ssh_public() -> str:
    return forms.rsa_key().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


ERRORS: dict[str, tuple[Callable[[], str], str]] = {
    "empty": (str, "it is empty"),
    "blank": (lambda: ' \n\t "" ', "it is empty"),
    "mask": (lambda: "***", "only asterisks, the mask"),
    "longer mask": (lambda: ' "********" ', "only asterisks, the mask"),
    "prose": (lambda: "the key is in the vault", "neither PEM nor DER"),
    "a word": (lambda: "secret", "neither PEM nor DER"),
    "half a key": (lambda: forms.body(forms.pem("PKCS#8"))[300:600].lstrip("/"), "neither PEM nor DER"),
    "base64 of base64": (lambda: forms.base64_of(forms.base64_of(forms.pem("PKCS#8"))), "neither PEM nor DER"),
    "too long": (lambda: "A" * 200_000, "200000 bytes are too many"),
    "relative path": (lambda: "keys/oac.pem", "a relative path"),
    "file: URL": (lambda: "file:///keys/oac.pem", "a file: URL. Give the path alone"),
    "placeholder": (lambda: "${OAC_PRIVATE_KEY}", "placeholder that nothing has replaced"),
    "template": (lambda: "{{ var.value.key }}", "placeholder that nothing has replaced"),
    "public key": (forms.public_pem, "it is a public key"),
    "public key in base64": (lambda: forms.base64_of(forms.public_pem()), "it is a public key"),
    "public DER": (lambda: forms.body(forms.public_pem()), "it is a public key"),
    "OpenSSH public key": (ssh_public, "an OpenSSH public key"),
    "OpenSSH private key": (lambda: forms.pem("OpenSSH"), "OpenSSH's own format (convert a copy of the file"),
    "certificate": (forms.certificate_pem, "it is a certificate"),
    "certificate DER": (lambda: forms.body(forms.certificate_pem()), "it is a certificate"),
    "certificates and a public key": (
        lambda: forms.certificate_pem() + forms.public_pem() + forms.certificate_pem(1),
        "it is a certificate and a public key",
    ),
    "PKCS#12": (lambda: forms.base64_of(forms.bundle_pkcs12()), "PKCS#12 bundle"),
    "JKS in base64": (lambda: forms.base64_of(forms.keystore()), "a Java keystore (convert a copy of it: keytool"),
    "RSA-PSS": (lambda: PEM.format(forms.base64_of(forms.pss_der())), "PEM PKCS#8 on one line: an RSA-PSS key"),
    "RSA-PSS DER": (lambda: forms.base64_of(forms.pss_der()), "base64 of DER: an RSA-PSS key"),
    "three primes, PKCS#1": (lambda: forms.base64_of(forms.many_primes_der("PKCS#1")), "more than two primes"),
    "three primes, PKCS#8": (
        lambda: PEM.format(forms.base64_of(forms.many_primes_der("PKCS#8"))),
        "more than two primes",
    ),
    "plus lost, newlines elsewhere": (
        lambda: PEM.format(forms.body(forms.pem("PKCS#8")).replace("+", " ")[:-200] + " "),
        "write it as %2B there",
    ),
    "another block": (
        lambda: "-----BEGIN PGP MESSAGE-----\nabcd\n-----END PGP MESSAGE-----",
        "a PEM block of another kind",
    ),
    "EC": (lambda: forms.pem_of(forms.ec_key()), "kind EC, and RS256 needs an RSA key"),
    "EC, its own format": (lambda: forms.pem_of(forms.ec_key(), "PKCS#1"), "PEM EC key: a key of the kind EC"),
    "Ed25519": (lambda: forms.pem_of(forms.ed25519_key()), "kind Ed25519, and RS256"),
    "Ed25519 DER": (lambda: forms.body(forms.pem_of(forms.ed25519_key())), "kind Ed25519, and RS256"),
    "1024 bits": (lambda: forms.pem_of(forms.rsa_key(1024)), "an RSA key of 1024 bits, and RS256 needs 2048"),
    "cut off": (lambda: truncated("PKCS#8", 10), "PEM PKCS#8: it is incomplete or damaged"),
    "cut off in a line": (lambda: forms.pem("PKCS#8")[:900], "PEM PKCS#8: "),
    "cut off base64 DER": (
        lambda: forms.base64_of(forms.der("PKCS#1")[:800]),
        "base64 of DER: it is incomplete or damaged",
    ),
    "start lost": (lambda: forms.pem("PKCS#8").replace("MIIE", "", 1), "it is incomplete or damaged"),
    "no body": (lambda: PEM.format(""), "it is empty"),
    "body left out": (lambda: PEM.format("..."), "its body is not base64"),
    "doubled body": (
        lambda: PEM.format(forms.base64_of(forms.der("PKCS#8") + forms.der("PKCS#1"))),
        "characters are missing, added or changed",
    ),
    "lost backslashes": (lambda: forms.pem("PKCS#8").replace("\n", "n"), "the backslash of every \\n is lost"),
    "changed bit, PKCS#8": (
        lambda: flipped("PKCS#8"),
        "characters are missing, added or changed. Copy the whole file again",
    ),
    "changed bit, PKCS#1": (
        lambda: flipped("PKCS#1"),
        "characters are missing, added or changed. Copy the whole file again",
    ),
    "encrypted PKCS#8": (lambda: forms.pem("PKCS#8", forms.PASSPHRASE), "PEM encrypted PKCS#8: it is encrypted"),
    "encrypted PKCS#1": (lambda: forms.pem("PKCS#1", forms.PASSPHRASE), "PEM encrypted PKCS#1: it is encrypted"),
    "encrypted DER": (
        lambda: forms.base64_of(forms.der("PKCS#8", forms.PASSPHRASE)),
        "base64 of DER: it is encrypted, and no passphrase is given",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_used_is_named(case: str) -> None:
    make, named = ERRORS[case]
    message = refused(make())
    assert message.startswith("The private key cannot be used: ")
    assert named in message
    assert message.endswith(".")
    assert ". ." not in message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "passphrase", ["not the passphrase", "x", "\n", "\ud800 not encodable", "p" * 3000], ids=range(5)
)
def test_a_wrong_passphrase_is_named_and_not_shown(kind: str, passphrase: str) -> None:
    message = refused(forms.pem(kind, forms.PASSPHRASE), passphrase)
    assert f"PEM encrypted {kind}: the passphrase does not open it" in message
    assert len(passphrase) < SECRET_RUN or passphrase[:SECRET_RUN] not in message


def test_an_encrypted_key_of_another_kind_is_named() -> None:
    text = forms.pem_of(forms.ec_key(), "PKCS#1", forms.PASSPHRASE)
    assert "a key of the kind EC, and RS256 needs an RSA key" in refused(text, forms.PASSPHRASE)


def test_the_mask_as_passphrase_is_named() -> None:
    assert "passphrase is only asterisks" in refused(forms.pem("PKCS#8", forms.PASSPHRASE), "***")


@pytest.mark.parametrize(
    ("identifier", "passphrase", "named"),
    [
        ("2a864886f70d010101", None, "its kind or its encryption cannot be read here. Give an RSA key"),
        ("60864801650304012a", forms.PASSPHRASE, "its cipher unknown here: convert it with openssl pkcs8"),
    ],
    ids=["key", "cipher"],
)
def test_an_unknown_kind_says_what_to_do(identifier: str, passphrase: str | None, named: str) -> None:
    known = bytes.fromhex(identifier)
    der = forms.der("PKCS#8", passphrase)
    assert known in der
    assert named in refused(forms.base64_of(der.replace(known, known[:-1] + b"\x63")), passphrase)


def test_an_old_cipher_is_an_error_that_tells_how_to_convert() -> None:
    pem = forms.pem("PKCS#1", forms.PASSPHRASE).replace("AES-256-CBC", "RC2-40-CBC")
    assert "openssl pkcs8 -topk8" in refused(pem, forms.PASSPHRASE)


# --------------------------------------------------------------------------------------------- files


def test_missing_files_say_how_much_of_the_path_exists(tmp_path: Path) -> None:
    message = refused(f"{tmp_path}/no/such.pem")
    assert "does not exist" in message
    assert f"(of its path, {str(tmp_path)!r} exists). Give the private key itself, or the absolute path" in message
    assert "such.pem" not in message
    assert "does not exist" in refused("~nobody-of-this-name/key.pem")
    (tmp_path / "key.pem").write_bytes(b"x")
    assert "does not exist" in refused(f"{tmp_path}/key.pem/more")


def test_a_piece_of_a_key_that_looks_like_a_path_is_not_shown() -> None:
    assert "it is a path" in refused("/" + forms.body(forms.pem("PKCS#8"))[40:600])
    assert "neither PEM nor DER" in refused("/" + "\n".join(forms.pem("PKCS#8").splitlines()[2:9]))


def test_what_is_not_a_file_to_read_is_refused(tmp_path: Path) -> None:
    def holding(content: bytes) -> str:
        (tmp_path / "key").write_bytes(content)
        return str(tmp_path / "key")

    assert "is a directory" in refused(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(str(tmp_path / "pipe"))
    assert "is empty" in refused(holding(b""))
    assert "is larger than 131072 bytes" in refused(holding(b"A" * 200_000))
    assert "a Java keystore" in refused(holding(forms.keystore()))
    assert "a file of 5 bytes that is neither" in refused(holding(b"hello"))
    assert "file with binary DER: it is incomplete" in refused(holding(forms.der("PKCS#8")[:-9]))
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    assert "cannot be read (OSError)" in refused(str(tmp_path / "loop"))


def test_an_unreadable_file_names_the_user() -> None:
    user = os.geteuid()
    other = user or 65534  # root may read everything, so it becomes nobody for a moment
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        path = Path(folder) / "key.pem"
        path.write_text(forms.pem("PKCS#8"))
        path.chmod(0o000)
        os.seteuid(other)
        try:
            message = refused(str(path))
        finally:
            os.seteuid(user)
    assert f"may not be read by this process (user id {other}) (of its path, {str(path)!r} exists)" in message


def test_of_a_file_outside_of_the_folder_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "key").write_text(forms.pem("PKCS#8"))
    said = set()
    for path in (tmp_path / "key", tmp_path / "missing", tmp_path):
        for read in (keys.load_private_key, keys.certificate_expiry):
            with pytest.raises(OACConfigurationError, match="lies outside of") as caught:
                read(str(path), folder=str(tmp_path / "allowed"))
            said.add(message_of(caught.value).replace("certificate", "private key"))
    assert len(said) == 1
    inside = tmp_path / "allowed" / "key"
    inside.write_text(forms.pem("PKCS#8"))
    assert same(keys.load_private_key(str(inside), folder=str(tmp_path / "allowed")))
    assert same(keys.load_private_key(forms.pem("PKCS#8"), folder=str(tmp_path / "allowed")))


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
    pem = forms.pem(kind, forms.PASSPHRASE if encrypted else None)
    text = forms.damaged(pem, newlines, carrier)
    where = int(len(text) * at)
    text = text[:where] + put + text[where + cut :]
    result = attempt(text, passphrase)
    secrets = [forms.body(pem), forms.PASSPHRASE, "another passphrase"]
    if isinstance(result, PrivateKey):
        assert same(result)
        assert leaks(repr(result), *secrets) == []
    else:
        message_of(result, *secrets, *([text] if carrier.startswith("base64") else []))


@settings(deadline=None, max_examples=100)
@given(
    text=st.one_of(
        st.text(),
        st.text(alphabet="AMIz09+/=-_ \n\\n%~.:{}'\"*0B"),
        st.text().map(PEM.format),
        st.binary().map(lambda raw: forms.base64_of(b"\x30" + raw)),
        st.text(alphabet=st.characters(categories=["Cs", "Lu", "Zs"])).map(lambda text: f"~{text}"),
        st.text().map(lambda text: f"/{text}"),
    ),
    passphrase=st.none() | st.text(alphabet=st.characters(), max_size=20),
)
@example(text="-----BEGIN" * 2000, passphrase=None)
@example(text="-" * 100_000, passphrase=None)
@example(text="~\ud800", passphrase=None)
@example(text="/\0", passphrase=None)
@example(text="-----BEGIN " + " " * 50_000, passphrase=None)
def test_no_text_raises_anything_else(text: str, passphrase: str | None) -> None:
    for read in (lambda: load_private_key(text, passphrase), lambda: certificate_thumbprint(text)):
        with pytest.raises(OACConfigurationError) as caught:
            read()
        message_of(caught.value)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(),
        st.binary().map(lambda raw: b"\x30\x82" + len(raw).to_bytes(2, "big") + raw),
        st.text().map(lambda text: text.encode("utf-16")),
        st.integers(0, 1200).map(lambda at: forms.der("PKCS#8")[:at] + b"\xff" + forms.der("PKCS#8")[at + 1 :]),
    )
)
def test_no_file_raises_anything_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    result = attempt(str(tmp_path / "key"), forms.PASSPHRASE)
    if isinstance(result, PrivateKey):
        assert same(result)
    else:
        message_of(result, forms.base64_of(forms.der("PKCS#8")), forms.PASSPHRASE)


# -------------------------------------------------------------------------------------- certificates


def test_a_certificate_of_another_key_is_refused() -> None:
    key = load_private_key(forms.pem("PKCS#8"))
    with pytest.raises(OACConfigurationError, match="does not belong to the private key"):
        check_pair(key, forms.certificate_pem(1))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (str, "it is empty"),
        (lambda: "***", "only asterisks"),
        (lambda: forms.pem("PKCS#8"), "it is a private key"),
        (forms.public_pem, "it is a public key"),
        (lambda: forms.base64_of(forms.der("PKCS#8")), "it is a private key"),
        (lambda: forms.base64_of(forms.der("PKCS#8", forms.PASSPHRASE)), "it is a private key"),
        (lambda: forms.body(forms.pem_of(forms.ec_key(), "PKCS#1")), "it is a private key"),
        (lambda: forms.body(forms.public_pem()), "it is a public key"),
        (lambda: "\n".join(forms.certificate_pem().splitlines()[:8]), "PEM certificate: it is incomplete"),
        (lambda: "/no/such/certificate.pem", "does not exist"),
        (lambda: forms.certificate_pem().replace("MII", "AII", 1), "PEM certificate: it is incomplete or damaged"),
    ],
)
def test_what_is_no_certificate_is_named(make: Callable[[], str], named: str) -> None:
    with pytest.raises(OACConfigurationError) as caught:
        certificate_thumbprint(make())
    message = message_of(caught.value, *secret_bodies())
    assert named in message
    assert message.startswith("The certificate cannot be used: ")
