"""The state that all parts of the simulator share."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from oac_simulator import keys
from oac_simulator.clock import Clock
from oac_simulator.counters import Counters
from oac_simulator.faults import Faults
from oac_simulator.known_endpoints import KnownEndpoints
from oac_simulator.ledger import Ledger
from oac_simulator.settings import Settings
from oac_simulator.store import Record, Store
from oac_simulator.work import WorkEngine

#: Application roles of OAC (documented, quick-start of the REST API).
ADMINISTRATOR = "BIServiceAdministrator"
CONTENT_AUTHOR = "DVContentAuthor"
#: The application roles of an instance under the names that access control lists show (observed, inferred).
ROLES = ("BI Service Administrator", "BI Content Author", "BI Consumer", "DV Content Author", "DV Consumer")
#: The scope of the OAC application, appended to its audience (documented).
RESOURCE = "urn:opc:resource:consumer::all"
#: The grants that an application can have, by the last part of their names.
GRANTS = ("jwt-bearer", "password", "refresh_token", "device_code", "client_credentials")
DEFAULT_BUCKET = "oac-backups"
REGION = "eu-frankfurt-1"
NAMESPACE = "simtenancy"


@dataclass(frozen=True)
class Instance:
    """One OAC instance. The host in its audience differs from the host that users see (observed)."""

    name: str
    audience: str
    url: str = ""

    @property
    def scope(self) -> str:
        """The scope of an access token for this instance."""
        return self.audience + RESOURCE


@dataclass
class World:
    """The simulated world: stored records, settings, faults and counters."""

    store: Store
    settings: Settings = field(default_factory=Settings)
    identity_url: str = ""
    instances: dict[str, Instance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = Clock(self.settings)
        self.counters = Counters()
        self.faults = Faults()
        self.endpoints = KnownEndpoints()
        self.ledger = Ledger()
        self.users = self.store.table("users")
        self.apps = self.store.table("apps")
        self.refresh_tokens = self.store.table("refresh_tokens")
        self.device_codes = self.store.table("device_codes")
        self.revoked = self.store.table("revoked")
        self.seen_jti = self.store.table("seen_jti")
        self.snapshots = self.store.table("snapshots")
        self.work_requests = self.store.table("work_requests")
        self.content = self.store.table("content")
        self.exports = self.store.table("exports")
        self.jobs = self.store.table("jobs")
        self.roles = self.store.table("roles")
        self.meta = self.store.table("meta")
        self.work = WorkEngine(self.settings, self.clock, self.work_requests)
        directory = self.store.directory
        self.signing_key: rsa.RSAPrivateKey = keys.rsa_key(directory / "signing-key.pem")
        self.app_key: rsa.RSAPrivateKey = keys.rsa_key(directory / "app-key.pem")
        self.app_certificate: x509.Certificate = keys.self_signed(
            directory / "app-certificate.pem", self.app_key, "airflow"
        )

    @property
    def bucket_dir(self) -> Path:
        """The folder that holds one folder per bucket."""
        return self.store.directory / "buckets"

    def save_settings(self) -> None:
        """Store the settings, so they survive a restart."""
        self.meta.put("settings", self.settings.as_dict())

    def confidential_app(self) -> Record:
        """Return the confidential application that the ready file describes."""
        return next(app for app in self.apps if not app["public"])

    def seed(self, instance_names: list[str]) -> None:
        """Create missing applications, users, roles and the default bucket; keep existing ones."""
        salt = self.meta.get("salt")
        if salt is None:
            salt = {"value": secrets.token_hex(8)}
            self.meta.put("salt", salt)
        for name in instance_names:
            digest = sha256(f"{salt['value']}/{name}".encode()).hexdigest()[:26]
            self.instances[name] = Instance(name, f"https://{digest}.analytics.sim.example")
        if not len(self.apps):
            self._seed_apps()
        for name in instance_names:
            self._seed_own_app(name)
        if not len(self.users):
            self._seed_users()
        if not len(self.roles):
            self.seed_roles()
        bucket = self.bucket_dir / DEFAULT_BUCKET
        bucket.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _seed_apps(self) -> None:
        alias = "airflow"
        certificate = (self.store.directory / "app-certificate.pem").read_text()
        common = {"active": True, "introspect": True, "allowed_scopes": None}
        # The characters between the random parts expose clients that do not form-encode the secret for Basic, or that
        # post it unencoded.
        secret = f"{secrets.token_hex(8)}+/=%41&{secrets.token_hex(8)}"
        confidential = {
            "name": "airflow", "public": False, "secret": secret, "grants": list(GRANTS),
            "certificates": {alias: certificate},
        }  # fmt: skip
        public = {
            "name": "airflow-public", "public": True, "secret": "", "certificates": {},
            "grants": ["device_code", "refresh_token"],
        }  # fmt: skip
        for app in (confidential, public):
            client_id = secrets.token_hex(16)
            self.apps.put(client_id, {"client_id": client_id, **app, **common})

    def _seed_own_app(self, instance: str) -> None:
        """Create OAC's own application, which owns the tokens of the Profile page (observed)."""
        client_id = f"{instance}_APPID"
        if self.apps.get(client_id) is None:
            self.apps.put(client_id, {
                "client_id": client_id, "name": f"ANALYTICSINST_{instance}", "public": False, "active": True,
                "secret": secrets.token_hex(16), "grants": ["refresh_token"], "certificates": {}, "introspect": False,
                "allowed_scopes": None,
            })  # fmt: skip

    def own_app(self, instance: str) -> Record:
        """Return OAC's own application of an instance."""
        app = self.apps.get(f"{instance}_APPID")
        if app is None:
            raise LookupError(f"Instance {instance} has no application.")
        return app

    def _seed_users(self) -> None:
        both = [ADMINISTRATOR, CONTENT_AUTHOR]
        for name, roles, active, federated in (
            ("oac.admin@example.com", both, True, False),
            ("oac.author@example.com", [CONTENT_AUTHOR], True, False),
            ("oac.colleague@example.com", [CONTENT_AUTHOR], True, False),
            ("oac.inactive@example.com", both, False, False),
            ("oac.federated@example.com", both, True, True),
        ):
            password = f"Pw-{secrets.token_hex(8)}+&=%"
            user = {"name": name, "password": password, "roles": roles, "active": active}
            self.users.put(name, {**user, "federated": federated, "instance_roles": {}})

    def seed_roles(self) -> None:
        """Create the application roles that every instance has."""
        for role in ROLES:
            self.roles.put(role, {"name": role})

    def user(self, name: str) -> Record | None:
        """Return a user by name; user names are case-insensitive (inferred)."""
        return self.users.get(name.lower())


@lru_cache(maxsize=16)
def base64url_sha(algorithm: str, certificate_pem: str) -> str:
    """Return the `x5t` (SHA1) or `x5t#S256` (SHA256) of a certificate: its digest in base64url, unpadded."""
    # SHA-1 only identifies a certificate here (RFC 7515 section 4.1.7); security does not depend on it.
    digest = hashes.SHA1() if algorithm == "SHA1" else hashes.SHA256()  # noqa: S303
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    return urlsafe_b64encode(certificate.fingerprint(digest)).rstrip(b"=").decode()
