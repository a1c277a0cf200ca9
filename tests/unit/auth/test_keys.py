from __future__ import annotations

import base64
import hashlib
import itertools
import os
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_oac.auth import keys
from airflow_provider_oac.auth.keys import PrivateKey, certificate_thumbprint, check_pair, load_private_key
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth import keys_forms as forms

KINDS = ["PKCS#1", "PKCS#8", "OpenSSH"]
PEM = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"
ENCRYPTED = ["PKCS#1", "PKCS#8"]  # an encrypted OpenSSH key needs a package that nothing else here needs
SECRET_RUN = 12

# Reading a key takes 30 ms, so these are few; what needs no key to be valid takes more examples.
few = settings(deadline=None, max_examples=20)


def same(loaded: PrivateKey, number: int = 0) -> bool:
    return loaded.key.private_numbers() == forms.rsa_key(number=number).private_numbers()


def plain(text: str) -> str:
    """A text without what wraps base64, so that a leak is found however it is broken up."""
    return "".join(text.replace("\\n", "").split())


def shown(error: BaseException) -> str:
    """All that anybody can see of an error: message, repr, and the whole chain with its tracebacks."""
    texts, link = [], error
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
    secret = body(forms.pem("PKCS#8"))
    error = OACConfigurationError("harmless")
    error.__context__ = ValueError(f"got {secret[70:76]}\\n{secret[76:82]}!")
    assert leaks(shown(error), secret) == [secret[70:82]]


def refused(text: str, passphrase: str | None = None, *secrets: str) -> str:
    with pytest.raises(OACConfigurationError) as caught:
        load_private_key(text, passphrase)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None, "the exception that was handled may hold the key"
    assert not leaks(shown(error), *secrets)
    return str(error)


def attempt(text: str, passphrase: str | None) -> PrivateKey | OACConfigurationError:
    try:
        return load_private_key(text, passphrase)
    except OACConfigurationError as error:
        return error


def body(pem: str) -> str:
    return "".join(pem.strip().splitlines()[1:-1])


# ------------------------------------------------------------------------------------ forms that work


@pytest.mark.parametrize(("shape", "kind"), list(zip(forms.SHAPES, itertools.cycle(KINDS), strict=False)))
def test_every_shape_is_read_and_named(shape: str, kind: str) -> None:
    change, named = forms.SHAPES[shape]
    loaded = load_private_key(change(forms.pem(kind)))
    assert same(loaded)
    assert kind in loaded.form
    assert named in loaded.form
    assert loaded.warning is None


@few
@given(
    kind=st.sampled_from(KINDS),
    shape=st.sampled_from(sorted(forms.SHAPES)),
    wrapping=st.sampled_from(sorted(forms.WRAPPINGS)),
    number=st.integers(0, 2),
)
def test_every_shape_may_be_wrapped(kind: str, shape: str, wrapping: str, number: int) -> None:
    pem = forms.pem(kind, number=number)
    assert same(load_private_key(forms.WRAPPINGS[wrapping](forms.SHAPES[shape][0](pem))), number)


@pytest.mark.parametrize("first", forms.SHAPES)
def test_shapes_may_be_combined_and_wrapped(first: str) -> None:
    """All pairs, with a certificate: it takes the same way as a key, but no time to check."""
    once = forms.SHAPES[first][0](forms.certificate_pem())
    for wrapping, wrap in forms.WRAPPINGS.items():
        assert certificate_thumbprint(wrap(once)) == thumbprint(), wrapping
    pairs = [name for name in forms.SHAPES if combines(first, name)]
    for second, wrapping in zip(pairs, itertools.cycle(forms.WRAPPINGS), strict=False):
        text = forms.WRAPPINGS[wrapping](forms.SHAPES[second][0](once))
        assert certificate_thumbprint(text) == thumbprint(), (second, wrapping)


def combines(first: str, second: str) -> bool:
    """Whether a second change can happen to what the first one made without destroying it."""
    around = {"indented", "text around", "Python bytes", "JSON string", "JSON, all escaped"}
    if second in around or first == "shell continuation" or first == second == "base64 twice":
        return False
    return first not in around or not second.startswith("base64")


@few
@given(
    kind=st.sampled_from(ENCRYPTED),
    shape=st.sampled_from(sorted(forms.SHAPES)),
    wrapping=st.sampled_from(sorted(forms.WRAPPINGS)),
)
@example(kind="PKCS#1", shape="blanks", wrapping="nothing")
@example(kind="PKCS#1", shape="no white space at all", wrapping="nothing")
def test_encrypted_keys_are_read_in_every_shape(kind: str, shape: str, wrapping: str) -> None:
    pem = forms.pem(kind, forms.PASSPHRASE)
    loaded = load_private_key(forms.WRAPPINGS[wrapping](forms.SHAPES[shape][0](pem)), forms.PASSPHRASE)
    assert same(loaded)
    assert f"encrypted {kind}" in loaded.form
    assert loaded.warning is None


@few
@given(
    blanks=st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from([" ", "\n", "\t", "\r\n", "\\n", "\\r\\n", "\u00a0"])),
        max_size=40,
    ),
    pad=st.booleans(),
    safe=st.booleans(),
    kind=st.sampled_from(ENCRYPTED),
)
def test_base64_of_der_is_read_however_it_is_wrapped(
    blanks: list[tuple[int, str]], pad: bool, safe: bool, kind: str
) -> None:
    text = (base64.urlsafe_b64encode if safe else base64.b64encode)(forms.der(kind)).decode()
    text = text if pad else text.rstrip("=")
    for at, blank in sorted(blanks, reverse=True):
        text = text[:at] + blank + text[at:]
    loaded = load_private_key(text)
    assert same(loaded)
    assert loaded.form.startswith(f"base64 of DER {kind}")


def test_encrypted_base64_der_is_read() -> None:
    text = base64.b64encode(forms.der("PKCS#8", forms.PASSPHRASE)).decode()
    loaded = load_private_key(text, forms.PASSPHRASE)
    assert same(loaded)
    assert loaded.form == "base64 of DER, encrypted"


@pytest.mark.parametrize("number", range(3))
def test_a_plus_that_a_uri_turned_into_a_blank_is_put_back(number: int) -> None:
    pem = forms.pem("PKCS#8", number=number)
    assert "+" in body(pem)
    loaded = load_private_key(forms.plus_lost(pem))
    assert same(loaded, number)
    assert loaded.form == "PEM PKCS#8 with blanks instead of +"


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
    ],
)
def test_the_key_is_taken_from_among_other_blocks(text: str) -> None:
    loaded = load_private_key(text)
    assert same(loaded)
    assert loaded.warning is None


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
    assert loaded.warning is not None
    assert "not encrypted" in loaded.warning


def test_a_key_without_its_end_line_is_read_if_it_is_whole() -> None:
    assert same(load_private_key(forms.pem("PKCS#8").split("-----END")[0]))


def test_a_representation_holds_nothing_of_the_key() -> None:
    loaded = load_private_key(forms.pem("PKCS#8"))
    assert repr(loaded) == "PrivateKey(form='PEM PKCS#8', warning=None)"
    with pytest.raises(AttributeError):
        loaded.form = "another"  # type: ignore[misc]


# --------------------------------------------------------------------------------------------- files


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (forms.pem("PKCS#8").encode(), "file with PEM PKCS#8"),
        (forms.pem("PKCS#1").encode(), "file with PEM PKCS#1"),
        (b"\xef\xbb\xbf" + forms.pem("PKCS#1").encode(), "file with PEM PKCS#1"),
        (forms.pem("PKCS#8").encode("utf-16"), "file with PEM PKCS#8"),
        (forms.pem("PKCS#8").replace("\n", "\\n").encode(), "file with PEM PKCS#8 with literal \\n"),
        (b"caf\xe9\n" + forms.pem("PKCS#8").encode(), "file with PEM PKCS#8"),
        (base64.b64encode(forms.der("PKCS#8")), "file with base64 of DER PKCS#8"),
        (forms.der("PKCS#8"), "file with binary DER PKCS#8"),
        (forms.der("PKCS#1") + b"\n", "file with binary DER PKCS#1"),
    ],
)
def test_files_are_read_in_every_form(tmp_path: Path, content: bytes, form: str) -> None:
    loaded = load_private_key(str(write(tmp_path / "key", content)))
    assert same(loaded)
    assert loaded.form == form
    assert loaded.warning is None


@pytest.mark.parametrize("name", ["key.pem", "a key.pem", "clé"])
def test_files_are_named_by_path_or_url(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, forms.pem("PKCS#8").encode())
    url = path.as_uri()
    for text in (str(path), f' "{path}"\n', url, f"file:{path}", url.replace("file://", "FILE://localhost")):
        assert same(load_private_key(text))


def test_a_file_in_the_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "key.pem", forms.pem("PKCS#8", forms.PASSPHRASE).encode())
    assert same(load_private_key("~/key.pem", forms.PASSPHRASE))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_may_read_is_a_warning(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "key.pem", forms.pem("PKCS#8").encode(), mode)
    loaded = load_private_key(str(path))
    assert same(loaded)
    assert loaded.warning == f"the key file is open to other users of the machine (mode {mode:04o}): chmod 600 it"


def test_missing_files_say_how_much_of_the_path_exists(tmp_path: Path) -> None:
    message = refused(f"{tmp_path}/no/such.pem")
    assert "does not exist" in message
    assert f"{str(tmp_path)!r}. Give the absolute path" in message
    assert "such.pem" not in message
    assert "does not exist" in refused("~nobody-of-this-name/key.pem")
    write(tmp_path / "key.pem", b"x")
    assert "does not exist" in refused(f"{tmp_path}/key.pem/more")


def test_a_piece_of_a_key_that_looks_like_a_path_is_not_shown() -> None:
    piece = "/" + body(forms.pem("PKCS#8"))[40:600]
    assert "it is a path" in refused(piece, None, piece)


def test_what_is_not_a_file_to_read_is_refused(tmp_path: Path) -> None:
    assert "is a directory" in refused(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(str(tmp_path / "pipe"))
    assert "is empty" in refused(str(write(tmp_path / "empty.pem", b"")))
    assert "too many" in refused(str(write(tmp_path / "large.pem", b"A" * 200_000)))
    assert "a file of 5 bytes" in refused(str(write(tmp_path / "other", b"hello")))
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    assert "cannot be read (OSError)" in refused(str(tmp_path / "loop"))


def test_an_unreadable_file_names_the_user() -> None:
    user = os.geteuid()
    other = user or 65534  # root may read everything, so it becomes nobody for a moment
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        path = write(Path(folder) / "key.pem", forms.pem("PKCS#8").encode(), 0o000)
        os.seteuid(other)
        try:
            message = refused(str(path))
        finally:
            os.seteuid(user)
    assert f"may not be read by this process (user id {other}). Of the path there is {str(path)!r}" in message


@pytest.mark.parametrize("url", ["file://", "file://host/key.pem", "file:key.pem", "file://[", "file:///a%00b"])
def test_file_urls_must_be_absolute_and_local(url: str) -> None:
    assert "file: URL without an absolute path" in refused(url)


# -------------------------------------------------------------------------------------------- errors


def truncated(kind: str, keep: int) -> str:
    lines = forms.pem(kind).strip().splitlines()
    return "\n".join([*lines[:keep], lines[-1]])


def flipped(kind: str) -> str:
    raw = bytearray(forms.der(kind))
    raw[len(raw) // 2] ^= 1
    return PEM.format(der64(bytes(raw)))


def der64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def ssh_public() -> str:
    from cryptography.hazmat.primitives.serialization import PublicFormat

    return forms.rsa_key().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


ERRORS: dict[str, tuple[Callable[[], str], str]] = {
    "empty": (str, "it is empty"),
    "blank": (lambda: ' \n\t "" ', "it is empty"),
    "mask": (lambda: "***", "only asterisks, the mask"),
    "longer mask": (lambda: ' "********" ', "only asterisks, the mask"),
    "prose": (lambda: "the key is in the vault", "neither PEM nor DER"),
    "a word": (lambda: "secret", "neither PEM nor DER"),
    "half a key": (lambda: body(forms.pem("PKCS#8"))[300:600].lstrip("/"), "neither PEM nor DER"),
    "too long": (lambda: "A" * 200_000, "200000 characters are too many"),
    "relative path": (lambda: "keys/oac.pem", "a relative path"),
    "placeholder": (lambda: "${OAC_PRIVATE_KEY}", "placeholder that nothing has replaced"),
    "template": (lambda: "{{ var.value.key }}", "placeholder that nothing has replaced"),
    "public key": (forms.public_pem, "it is a public key"),
    "public key in base64": (lambda: der64(forms.public_pem().encode()), "it is a public key"),
    "public DER": (lambda: body(forms.public_pem()), "it is a public key"),
    "OpenSSH public key": (ssh_public, "an OpenSSH public key"),
    "certificate": (forms.certificate_pem, "it is a certificate"),
    "certificate DER": (lambda: body(forms.certificate_pem()), "it is a certificate"),
    "certificates and a public key": (
        lambda: forms.certificate_pem() + forms.public_pem() + forms.certificate_pem(1),
        "it is a certificate and a public key",
    ),
    "PKCS#12": (lambda: der64(forms.bundle_pkcs12()), "PKCS#12 bundle"),
    "PuTTY": (lambda: "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none", "a PuTTY key file"),
    "JWK": (lambda: '{"kty": "RSA", "n": "abc"}', "a JSON Web Key"),
    "another block": (
        lambda: "-----BEGIN PGP MESSAGE-----\nabcd\n-----END PGP MESSAGE-----",
        "a PEM block of another kind",
    ),
    "EC": (lambda: forms.pem_of(forms.ec_key()), "kind EC, and RS256 needs an RSA key"),
    "EC, its own format": (lambda: forms.pem_of(forms.ec_key(), "PKCS#1"), "kind EC, and RS256"),
    "EC, OpenSSH": (lambda: forms.pem_of(forms.ec_key(), "OpenSSH"), "kind EC, and RS256"),
    "Ed25519": (lambda: forms.pem_of(forms.ed25519_key()), "kind Ed25519, and RS256"),
    "Ed25519 DER": (lambda: body(forms.pem_of(forms.ed25519_key())), "kind Ed25519, and RS256"),
    "1024 bits": (lambda: forms.pem_of(forms.rsa_key(1024)), "an RSA key of 1024 bits, and RS256 needs 2048"),
    "cut off": (lambda: truncated("PKCS#8", 10), "PEM PKCS#8: it is cut off: 432 of 12"),
    "cut off in a line": (lambda: forms.pem("PKCS#8")[:900], "PEM PKCS#8: "),
    "cut off base64 DER": (lambda: der64(forms.der("PKCS#1")[:800]), "DER PKCS#1: it is cut off: 800 of 11"),
    "start lost": (lambda: forms.pem("PKCS#8").replace("MIIE", "", 1), "its first bytes are missing"),
    "no body": (lambda: PEM.format(""), "it is empty"),
    "body left out": (
        lambda: "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "its body is not base64",
    ),
    "doubled body": (
        lambda: PEM.format(der64(forms.der("PKCS#8") + forms.der("PKCS#1"))),
        "bytes too many follow it",
    ),
    "lost backslashes": (lambda: forms.pem("PKCS#8").replace("\n", "n"), "the backslash of every \\n is lost"),
    "changed bit, PKCS#8": (lambda: flipped("PKCS#8"), "its parts do not fit together"),
    "changed bit, PKCS#1": (lambda: flipped("PKCS#1"), "its parts do not fit together"),
    "OpenSSH cut off": (lambda: truncated("OpenSSH", 10), "its parts do not fit together"),
    "encrypted PKCS#8": (lambda: forms.pem("PKCS#8", forms.PASSPHRASE), "PEM encrypted PKCS#8: it is encrypted"),
    "encrypted PKCS#1": (lambda: forms.pem("PKCS#1", forms.PASSPHRASE), "PEM encrypted PKCS#1: it is encrypted"),
    "encrypted DER": (
        lambda: der64(forms.der("PKCS#8", forms.PASSPHRASE)),
        "base64 of DER, encrypted: it is encrypted, and no passphrase is given",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_used_is_named(case: str) -> None:
    make, named = ERRORS[case]
    text = make()
    message = refused(text, None, *secret_bodies())
    assert message.startswith("The private key cannot be used: ")
    assert named in message
    assert message.endswith(".")


def secret_bodies() -> list[str]:
    return [body(forms.pem(kind)) for kind in KINDS] + [body(forms.pem(k, forms.PASSPHRASE)) for k in ENCRYPTED]


@pytest.mark.parametrize("kind", ENCRYPTED)
@pytest.mark.parametrize("passphrase", ["not the passphrase", "x", "\n", "\ud800 not encodable", "p" * 3000])
def test_a_wrong_passphrase_is_named_and_not_shown(kind: str, passphrase: str) -> None:
    message = refused(forms.pem(kind, forms.PASSPHRASE), passphrase, *secret_bodies())
    assert f"PEM encrypted {kind}: the passphrase does not open it" in message
    assert len(passphrase) < SECRET_RUN or passphrase[:SECRET_RUN] not in message


def test_the_mask_as_passphrase_is_named() -> None:
    message = refused(forms.pem("PKCS#8", forms.PASSPHRASE), "***")
    assert "passphrase is only asterisks" in message


def test_an_encrypted_openssh_key_says_so() -> None:
    """Its passphrase needs the package bcrypt: with and without it there is an error that tells what to do."""

    def framed(value: bytes) -> bytes:
        return len(value).to_bytes(4, "big") + value

    public = framed(b"ssh-rsa") + framed(b"\1\0\1") + framed(b"\0" + b"\xc1" * 256)
    derivation = framed(b"s" * 16) + b"\0\0\0\1"
    raw = b"openssh-key-v1\0" + framed(b"aes256-ctr") + framed(b"bcrypt") + framed(derivation)
    text = der64(raw + b"\0\0\0\1" + framed(public) + framed(b"c" * 1200))
    assert "base64 of OpenSSH key, encrypted: it is encrypted, and no passphrase is given" in refused(text)
    assert "onvert it" in refused(text, forms.PASSPHRASE)


def test_an_old_cipher_is_an_error_that_tells_how_to_convert() -> None:
    pem = forms.pem("PKCS#1", forms.PASSPHRASE).replace("AES-256-CBC", "RC2-40-CBC")
    assert "openssl pkcs8 -topk8" in refused(pem, forms.PASSPHRASE, *secret_bodies())


@few
@given(
    kind=st.sampled_from(KINDS),
    encrypted=st.booleans(),
    passphrase=st.sampled_from([None, forms.PASSPHRASE, "another passphrase"]),
    cut=st.floats(0, 1),
    at=st.floats(0, 1),
    put=st.text(max_size=5),
    shape=st.sampled_from(sorted(forms.SHAPES)),
)
def test_damage_never_shows_the_key(
    kind: str, encrypted: bool, passphrase: str | None, cut: float, at: float, put: str, shape: str
) -> None:
    pem = forms.pem(kind, forms.PASSPHRASE if encrypted and kind in ENCRYPTED else None)
    text = forms.SHAPES[shape][0](pem)
    where = int(len(text) * at)
    text = text[:where] + put + text[where + int(40 * cut) :]
    result = attempt(text, passphrase)
    if isinstance(result, PrivateKey):
        assert same(result)
        assert not leaks(f"{result!r}", body(pem), forms.PASSPHRASE)
    else:
        secrets = [body(pem), forms.PASSPHRASE, "another passphrase"]
        assert not leaks(shown(result), *secrets, *([text] if shape.startswith("base64") else []))
        assert result.__context__ is None


@settings(deadline=None, max_examples=150)
@given(
    text=st.one_of(
        st.text(),
        st.text(alphabet="AMIz09+/=-_ \n\\n%~.:{}'\"*0B"),
        st.text().map(lambda text: f"-----BEGIN PRIVATE KEY-----{text}-----END PRIVATE KEY-----"),
        st.binary().map(lambda raw: base64.b64encode(b"\x30" + raw).decode()),
        st.binary().map(lambda raw: base64.b64encode(b"openssh-key-v1\0" + raw).decode()),
        st.text(alphabet=st.characters(categories=["Cs", "Lu", "Zs"])).map(lambda text: f"~{text}"),
        st.text().map(lambda text: f"file:{text}"),
        st.text().map(lambda text: f"/{text}"),
    ),
    passphrase=st.none() | st.text(alphabet=st.characters(), max_size=20),
)
@example(text="-----BEGIN" * 2000, passphrase=None)
@example(text="-" * 100_000, passphrase=None)
@example(text="~\ud800", passphrase=None)
@example(text="-----BEGIN " + " " * 50_000, passphrase=None)
def test_no_text_raises_anything_else(text: str, passphrase: str | None) -> None:
    for read in (lambda: load_private_key(text, passphrase), lambda: certificate_thumbprint(text)):
        with pytest.raises(OACConfigurationError) as caught:
            read()
        assert caught.value.__context__ is None


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(),
        st.binary().map(lambda raw: b"\x30\x82" + len(raw).to_bytes(2, "big") + raw),
        st.text().map(lambda text: text.encode("utf-16")),
        st.integers(0, 1200).map(lambda at: forms.der("PKCS#8")[:at] + b"\xff" + forms.der("PKCS#8")[at + 1 :]),
    )
)
def test_no_file_raises_anything_else(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "key", content)
    result = attempt(str(path), forms.PASSPHRASE)
    if isinstance(result, PrivateKey):
        assert same(result)
    else:
        assert not leaks(shown(result), der64(forms.der("PKCS#8")), forms.PASSPHRASE)
        assert result.__context__ is None


# -------------------------------------------------------------------------------------------- cache


def test_a_key_is_checked_once_and_read_anew_when_anything_changes(tmp_path: Path) -> None:
    text = forms.pem("PKCS#8", forms.PASSPHRASE)
    first = load_private_key(text, forms.PASSPHRASE)
    assert load_private_key(text, forms.PASSPHRASE) is first
    assert "does not open" in refused(text, "another passphrase")
    assert "no passphrase" in refused(text)

    path = write(tmp_path / "key.pem", forms.pem("PKCS#8").encode())
    held = load_private_key(str(path))
    assert load_private_key(str(path)) is held
    write(path, forms.pem("PKCS#8", number=1).encode() + b"\n")
    assert same(load_private_key(str(path)), 1)
    path.chmod(0o644)
    assert load_private_key(str(path)).warning is not None
    path.unlink()
    assert "does not exist" in refused(str(path))


def test_the_cache_is_bounded_and_keeps_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "CACHE_SIZE", 2)
    texts = [forms.pem("PKCS#8") + "\n" * blank for blank in range(1, 4)]
    first, second = load_private_key(texts[0]), load_private_key(texts[1])
    assert load_private_key(texts[0]) is first
    load_private_key(texts[2])
    assert load_private_key(texts[0]) is first
    assert load_private_key(texts[1]) is not second
    assert len(keys._cache) == 2


def test_the_cache_does_not_confuse_text_and_passphrase() -> None:
    load_private_key(forms.pem("PKCS#8") + "ab", "c")
    assert load_private_key(forms.pem("PKCS#8") + "a", "bc") is not load_private_key(forms.pem("PKCS#8") + "ab", "c")


# -------------------------------------------------------------------------------------- certificates


def thumbprint() -> str:
    digest = hashlib.sha1(forms.certificate().public_bytes(Encoding.DER)).digest()  # noqa: S324
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@pytest.mark.parametrize("shape", forms.SHAPES)
def test_certificates_are_read_in_every_shape(shape: str) -> None:
    assert certificate_thumbprint(forms.SHAPES[shape][0](forms.certificate_pem())) == thumbprint()


def test_certificates_are_found_in_files_and_beside_keys(tmp_path: Path) -> None:
    der = forms.certificate().public_bytes(Encoding.DER)
    for text in (
        der64(der),
        str(write(tmp_path / "c.der", der)),
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
        (lambda: der64(forms.der("PKCS#8")), "it is a private key"),
        (lambda: der64(forms.der("PKCS#8", forms.PASSPHRASE)), "it is a private key"),
        (lambda: body(forms.public_pem()), "it is a public key"),
        (lambda: forms.certificate_pem()[:500], "PEM certificate: "),
        (lambda: "/no/such/certificate.pem", "does not exist"),
        (
            lambda: forms.certificate_pem().replace("MII", "AII", 1),
            "PEM certificate: its first bytes",
        ),
    ],
)  # fmt: skip
def test_what_is_no_certificate_is_named(make: Callable[[], str], named: str) -> None:
    with pytest.raises(OACConfigurationError) as caught:
        certificate_thumbprint(make())
    assert named in str(caught.value)
    assert str(caught.value).startswith("The certificate cannot be used: ")
    assert not leaks(shown(caught.value), *secret_bodies())
    assert caught.value.__context__ is None
