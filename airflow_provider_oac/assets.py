"""Assets of OAC: ``oac://<host>/<path>``, such as ``oac://oac-prod.example.com/snapshots/nightly``.

The path is ``/snapshots/<series>`` or ``/catalog/<path in the catalog>``; other paths are accepted unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_oac import _compat

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Asset

SCHEME = "oac"


def snapshots_uri(address: str, label: str) -> str:
    """URI of a series of snapshots.

    :param address: address of the instance, such as ``https://oac-prod.example.com``.
    :param label: the series.
    """
    return f"{SCHEME}://{urlsplit(address).netloc}/snapshots/{quote(label, safe='')}"


def catalog_uri(address: str, path: str) -> str:
    """URI of an item of the catalog.

    :param address: address of the instance.
    :param path: its path, such as ``/@Catalog/shared/Sales/Board``, or its pair ``'owner'.'name'``.
    """
    return (
        f"{SCHEME}://{urlsplit(address).netloc}/catalog/{quote(path.removeprefix('/@Catalog').lstrip('/'), safe='/')}"
    )


def source_uri(address: str, reference: str) -> str:
    """URI of the subject area or dataset that a query reads.

    :param address: address of the instance.
    :param reference: its name as in FROM: ``"Sales"`` or ``XSA('owner'.'dataset')``.
    """
    if reference.upper().startswith("XSA("):
        return catalog_uri(address, reference[4:-1])
    return f"{SCHEME}://{urlsplit(address).netloc}/subject-areas/{quote(reference.strip(chr(34)), safe='')}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Normalize a URI of the scheme for Airflow, so two spellings of one asset become the same.

    :raises ValueError: if it names no instance, or nothing in it.
    """
    if not uri.hostname:
        raise ValueError("An oac:// URI names the host of the instance: oac://host/snapshots/series.")
    if uri.path in ("", "/"):
        raise ValueError("An oac:// URI names something in the instance: oac://host/snapshots/series.")
    return uri._replace(netloc=uri.netloc.rpartition("@")[2].lower())


def create_asset(*, host: str, path: str, extra: dict[str, Any] | None = None) -> Asset:
    """Make an asset, for Airflow's hook lineage.

    :param host: host of the instance.
    :param path: path of the asset in the instance, such as ``snapshots/nightly``.
    :param extra: its extra.
    """
    asset: Asset = _compat.Asset(f"{SCHEME}://{host}/{path.lstrip('/')}", extra=extra or {})
    return asset


def openlineage_dataset(uri: str) -> Any:
    """The OpenLineage dataset of an asset's URI.

    Its names follow https://openlineage.io/docs/spec/naming: the namespace is everything up to the host, the name is
    the path without the URI's quoting.
    """
    # An optional package. Only Airflow's OpenLineage integration reaches this code, so it is installed.
    from openlineage.client.event_v2 import Dataset

    parts = urlsplit(uri)
    host, path = parts.netloc.rpartition("@")[2], unquote(parts.path)
    if not host:
        return Dataset(namespace=parts.scheme or "file", name=path)
    return Dataset(namespace=f"{parts.scheme}://{host}", name=path.lstrip("/"))


def convert_asset_to_openlineage(asset: Any, lineage_context: Any = None) -> Any:
    """The OpenLineage dataset of an asset; called by Airflow's OpenLineage integration.

    :param asset: an asset with a URI of this scheme.
    """
    return openlineage_dataset(asset.uri)
