"""Ids of catalog items, and their types in the paths of the API.

The API takes the base64url of an item's plain id (documented): a path such as ``/@Catalog/shared/Sales`` or
``/shared/Sales/Board``, or for connections, datasets, data flows and sequences a pair ``'owner'.'name'``. The reference
shows padded and unpadded forms; this package sends the unpadded form, which needs no encoding in a URL. Lists return
encoded ids, which go into calls unchanged. This package never guesses whether an id is encoded: the caller encodes a
path or a pair once, with :func:`catalog_id`.

Ids of work requests, exports, snapshots and jobs are percent-encoded instead
(:func:`airflow_provider_oac.client.calls.segment`).
"""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress

from airflow_provider_oac.exceptions import OACConfigurationError

WORKBOOKS = "workbooks"
FOLDERS = "folders"
DATASETS = "datasets"
CONNECTIONS = "connections"
DATAFLOWS = "dataflows"
MODELS = "models"
SEQUENCES = "sequences"
ANALYSIS = "analysis"
REPORTS = "reports"
DASHBOARDS = "dashboards"
DASHBOARD_FOLDERS = "dashboardfolders"
DASHBOARD_GROUP_FOLDERS = "dashboardgroupfolders"
SCRIPTS = "scripts"
# Documented. OAC may add others, so calls also accept types that are missing here.
TYPES = (
    WORKBOOKS, FOLDERS, DATASETS, CONNECTIONS, DATAFLOWS, MODELS, SEQUENCES, "subjectAreas", ANALYSIS, REPORTS,
    DASHBOARDS, "dashboardpages", DASHBOARD_FOLDERS, DASHBOARD_GROUP_FOLDERS, SCRIPTS,
)  # fmt: skip

CATALOG_ROOT = "/@Catalog"

_PAIR = re.compile(r"'.+'\.'.+'", re.DOTALL)
_ENCODED = re.compile(r"[A-Za-z0-9_-]+={0,2}")
# Control characters, line separators, bidirectional formatting marks, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def catalog_id(plain: str) -> str:
    """Encode a plain id as the API expects it.

    :param plain: a path, such as ``/@Catalog/shared/Sales``; or a pair, such as ``'jane'.'Sales Data'``.
    :raises OACConfigurationError: if it is neither, such as an id that is already encoded.
    """
    # Half of a surrogate pair cannot be encoded.
    with suppress(UnicodeEncodeError):
        if is_plain(plain):
            return encoded(plain)
    looks_encoded = " It looks encoded: pass ids from a list unchanged." if _ENCODED.fullmatch(plain) else ""
    raise OACConfigurationError(
        f"{plain!r} is no plain id of a catalog item: a path begins with '/', a pair has the form 'owner'.'name' with "
        f"its quotes, and both are Unicode text.{looks_encoded} Check where it comes from: an empty XCom or template?"
    )


def is_plain(text: str) -> bool:
    """Whether a text is a plain id; encoded ids contain neither slashes nor quotes."""
    return (text.startswith("/") and text.strip("/") != "") or _PAIR.fullmatch(text) is not None


def encoded(text: str) -> str:
    """Encode a text as unpadded base64url (RFC 4648 section 5) of its UTF-8 bytes."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def plain_id(item_id: str) -> str | None:
    """Decode an id, padded or not; return ``None`` if it does not hold a plain id.

    A decoded path or pair may contain any character. Other decoded text counts only if it is printable, because an
    opaque id may be valid base64url by accident.
    """
    if not _ENCODED.fullmatch(item_id):
        return None
    bare = item_id.rstrip("=")
    try:
        text = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return text if is_plain(text) or text.isprintable() else None


def shown(item_id: str) -> str:
    """Format an id for people: decoded if possible, with control characters escaped."""
    return visible(plain_id(item_id) or item_id)


def quoted(item_id: str) -> str:
    """Format an id like :func:`shown`, in quotes."""
    text = shown(item_id)
    return f'"{text}"' if "'" in text else f"'{text}'"


def visible(text: str) -> str:
    """Escape control characters and other unsafe characters in a text for people."""
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode(), text)


def same(one: str | None, other: str | None) -> bool:
    """Whether two encoded ids mean the same item.

    Padding and a leading ``/@Catalog`` do not matter: the reference shows all of these forms.
    """
    return one is not None and other is not None and normal(one) == normal(other)


def normal(item_id: str) -> str:
    """Normalize an encoded id, so its different forms compare as equal."""
    plain = plain_id(item_id)
    if plain is None:
        return item_id.rstrip("=")
    return plain.removeprefix(CATALOG_ROOT).rstrip("/") if plain.startswith("/") else plain


def split_path(item_id: str) -> tuple[str, str] | None:
    """Split the encoded id of a path into the folder's id and the item's name; return ``None`` for any other id."""
    folder, _, name = (plain_id(item_id) or "").rstrip("/").rpartition("/")
    return (encoded(folder), name) if folder.startswith("/") and name else None


def object_id(owner: str, name: str) -> str:
    """Build the id of a connection, dataset, data flow, sequence or script from its owner and its name."""
    return encoded(f"'{owner}'.'{name}'")


def item_id(*, item_id: str | None = None, path: str | None = None, what: str = "the item") -> str:
    """Return the id that one of two arguments gives.

    :param item_id: an id as lists return it; it is returned unchanged.
    :param path: a path or a pair, which is encoded.
    :param what: the item, for messages.
    :raises OACConfigurationError: unless exactly one is given.
    """
    if bool(item_id) == bool(path):
        raise OACConfigurationError(
            f"Give either the id of {what} as lists return it, or its path, not {item_id!r} and {path!r}. Next step: "
            "if one is a template, check what it renders to."
        )
    return item_id or catalog_id(str(path))
