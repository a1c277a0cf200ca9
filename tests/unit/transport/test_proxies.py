"""Which proxy the environment names for an address."""

from __future__ import annotations

import base64

import pytest

from airflow_provider_oac.exceptions import OACSetupError
from airflow_provider_oac.transport.proxies import proxy_for

URL, PLAIN, PROXY = "https://oac.example.com/x", "http://127.0.0.1/x", "http://proxy.example:3128"
EXCEPTED = [
    (URL, ["oac.example.com", ".example.com", "*.example.com", "x, OAC.Example.com", "*", "x example.com"]),
    ("https://oac.example.com:8443/x", ["oac.example.com", "oac.example.com:8443", "*.example.com:8443"]),
    (URL, ["oac.example.com:443"]),
    ("https://10.1.2.3/x", ["10.1.2.3", "10.0.0.0/8", "10.1.2.3/8", "10.1.2.3:443", "172.16.0.0/12,10.1.2.0/24"]),
    ("https://[::1]:8443/x", ["[::1]", "::1", "[::1]:8443", "::/64", "0:0::0:1"]),
    ("https://[2001:db8::7]/x", ["2001:db8::/32", "[2001:db8::7]", "[2001:DB8::7]:443"]),
]  # fmt: skip
NOT_EXCEPTED = [
    (URL, ["", "other.example", "example.co", "le.com", "10.0.0.0/8", "[::1]", ","]),
    ("https://oac.example.com:8443/x", ["oac.example.com:443"]),
    ("https://10.1.2.3/x", ["10.1.2.30", "11.0.0.0/8", "1.2.3", "*.2.3", "10.1.2.3:80", "10.0.0.0/99"]),
    ("https://[::1]/x", ["[::2]", "127.0.0.1", "[::1]:8443"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "url", "used"),
    [
        ({}, URL, False),
        *(({name: PROXY}, URL, True) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")),
        ({"HTTP_PROXY": PROXY}, URL, False),
        ({"HTTP_PROXY": PROXY}, PLAIN, True),
        # In a CGI process it is what the client sends.
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, PLAIN, False),
        *(
            ({"HTTPS_PROXY": PROXY, "NO_PROXY": exceptions}, url, used)
            for table, used in ((EXCEPTED, False), (NOT_EXCEPTED, True))
            for url, many in table
            for exceptions in many
        ),
    ],
)
def test_a_proxy_is_that_of_the_scheme_unless_the_host_is_excepted(
    environment: dict[str, str], url: str, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(url)
    assert (proxy and proxy.address) == (PROXY if used else None)


@pytest.mark.parametrize(
    ("value", "wanted", "login"),
    [
        ("user:word@proxy.example:3128", "http://proxy.example:3128", b"user:word"),
        ("https://user@proxy.example/", "https://proxy.example", b"user:"),
        ("http://user:p%2Fw%40%C5%82@[2001:db8::1]:3128", "http://[2001:db8::1]:3128", "user:p/w@ł".encode()),
        ("http://użytkownik:hasło@proxy.example", "http://proxy.example", "użytkownik:hasło".encode()),
        ("http://user:a@b@proxy.example", "http://proxy.example", b"user:a@b"),
        ("http://user:%E9\udce9@proxy.example", "http://proxy.example", b"user:\xe9\xe9"),
    ],
)
def test_it_gets_its_login_as_it_is(value: str, wanted: str, login: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    proxy = proxy_for(URL)
    assert proxy is not None
    assert proxy.address == wanted
    assert base64.b64decode(proxy.headers["Proxy-Authorization"].removeprefix("Basic ")) == login
    assert "user:" not in repr(proxy)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "socks5://u:pass-phrase@proxy.example:1080", "http://", "http://[::1", "http://u:pass-phrase@proxy.example:port",
        "http://u:pass-phrase@proxy.example:99999", "http://u:12/pass-phrase@proxy.example", "http://proxy.example/path",
        "http://u:12?pass-phrase@proxy.example", "http://u:12#pass-phrase@proxy.example", "http://próxy.example",
        "http://u:pass-phrase x@proxy.example", "http://u:pass-phrase@proxy\\.example", "http://u:pass-phrase@",
    ],
)  # fmt: skip
def test_an_unusable_one_is_refused_by_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    said = rf"environment variable {name} does not hold .* http://host:port"
    with pytest.raises(OACSetupError, match=said) as caught:
        proxy_for(URL)
    assert "pass-phrase" not in str(caught.value)
    assert caught.value.__context__ is None
