"""The provider's metadata for Airflow, which reads it very early: data only, without imports from Airflow."""

from __future__ import annotations

from typing import Any

# Airflow masks values by the *name* of their field, so every secret has a name on Airflow's list (private_key,
# …password, …passphrase), and no other field does.
SECRET_FIELDS = ("private_key", "private_key_passphrase", "refresh_token", "user_password")
_GRANTS = {
    "jwt_assertion": "JWT assertion (unattended, recommended)",
    "refresh_token": "Refresh token (a person signed in elsewhere)",
    "device_code": "Device code (a person signs in with a code)",
    "password": "Password of the user (discouraged)",
}
_CLIENT_AUTHENTICATIONS = {
    "assertion": "Assertion signed with the private key",
    "basic": "Client secret by HTTP Basic",
    "body": "Client secret in the body",
    "none": "None (public application)",
}
_PASSWORD, _MULTILINE, _NUMBER = {"format": "password"}, {"format": "multiline"}, {"type": ["number", "null"]}
# The fields of the Connection form besides the standard ones, by section: label, description, JSON schema.
_FORM: dict[str, dict[str, tuple[str, str, dict[str, Any]]]] = {
    "Sign in": {
        "identity_url": (
            "Identity domain URL", "Address of the domain, such as https://idcs-….identity.oraclecloud.com.", {},
        ),
        "grant": (
            "Grant",
            "JWT assertion works unattended, also for federated users. For refresh token and device code, a person "
            "signs in once; both need a store ([oac] store). Password does not work for federated users.",
            {"enum": list(_GRANTS), "values_display": _GRANTS, "default": "jwt_assertion"},
        ),
        "scope": (
            "Scope",
            "As the application lists it, for example https://….analytics.ocp.oraclecloud.com"
            "urn:opc:resource:consumer::all; usually another host than the one that users see.", {},
        ),
        "user": (
            "User",
            "Name, in the identity domain, of the user to act as. Optional for refresh_token and device_code: the "
            "only user whose sign-in is accepted.", {},
        ),
    },
    "JWT assertion": {
        "certificate_alias": (
            "Certificate alias", "Alias under which the certificate was imported into the application.", {},
        ),
        "private_key": (
            "Private key",
            "RSA key of that certificate: PEM (also on one line, or base64), or the path of a file on the machines "
            "that run tasks and triggers.", _MULTILINE,
        ),
        "private_key_passphrase": (
            "Passphrase of the private key", "Optional: only if the key is encrypted.", _PASSWORD,
        ),
        "certificate": (
            "Certificate",
            "Optional: the certificate (PEM), to name it by its thumbprint as well.", _MULTILINE,
        ),
        "assertion_audience": (
            "Assertion audience",
            "Optional: audience of the assertions; by default https://identity.oraclecloud.com/.", {},
        ),
    },
    "Refresh token": {
        "refresh_token": (
            "Refresh token",
            "For the grant refresh_token: the first one. The first task uses it up; the store holds the later ones. "
            "Leave it empty if you sign in by command.", _PASSWORD,
        ),
    },
    "Password": {"user_password": ("Password of the user", "For the grant password only.", _PASSWORD)},
    "Advanced": {
        "client_authentication": (
            "Client authentication",
            "Optional: by default an assertion if there is a private key, else the client secret by HTTP Basic, else "
            "none.",
            {"enum": list(_CLIENT_AUTHENTICATIONS), "values_display": _CLIENT_AUTHENTICATIONS},
        ),
        "instance": (
            "Instance name",
            "Optional: name of this instance in the names of its snapshots; by default from the host. Set it before "
            "the first backup, and keep it when the host name changes.", {},
        ),
        "ca_file": ("CA file", "Optional: path of a PEM file with the certificate authorities to trust.", {}),
        "connect_timeout": (
            "Connect timeout (s)", "Optional: maximum seconds to connect; 10 by default, 60 at most.", _NUMBER,
        ),
        "read_timeout": (
            "Read timeout (s)", "Optional: maximum seconds without data; 60 by default, 900 at most.", _NUMBER,
        ),
    },
}  # fmt: skip
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    name: {
        "label": label,
        "description": description,
        "schema": {"type": ["string", "null"], **schema, "section": section},
    }
    for section, fields in _FORM.items()
    for name, (label, description, schema) in fields.items()
}


def _setting(description: str, example: str, default: str = "", **more: Any) -> dict[str, Any]:
    return {"description": description, "type": "string", "version_added": "0.1.0", "example": example,
            "default": default, **more}  # fmt: skip


# The settings of a deployment, [oac] in airflow.cfg.
SETTINGS: dict[str, dict[str, Any]] = {
    "store": _setting(
        "Where tasks keep the tokens that they share. memory: nowhere, each process signs in by itself. file: in a "
        "folder of this host, encrypted with Airflow's Fernet key. redis: for tasks on several hosts, encrypted as "
        "well. The grants refresh_token and device_code need file or redis.",
        "redis",
        "memory",
    ),
    "store_folder": _setting(
        "Absolute path of the folder, for the store file. By default oac-tokens in AIRFLOW_HOME.",
        "/var/lib/airflow/oac-tokens",
    ),
    "file_folder": _setting(
        "Absolute path of the folder with the files that Connections may name: private keys, certificates, CA files. "
        "Links are resolved first. By default Connections may name any file that the process may read.",
        "/etc/airflow/oac",
    ),
    "redis_url": _setting(
        "Address of the server, for the store redis.", "rediss://:password@redis.example.com:6379/0", sensitive=True
    ),
}
HIDDEN_FIELDS = ["schema", "extra"]
RELABELING = {"host": "OAC address", "login": "Client ID", "password": "Client secret"}
PLACEHOLDERS = {
    "host": "https://myinstance-namespace-ia.analytics.ocp.oraclecloud.com",
    # Airflow 3.3 does not test a saved Connection without a port.
    "port": "443 (Airflow 3.3 needs it for Test)",
}

ASSETS = {
    "schemes": ["oac"],
    "handler": "airflow_provider_oac.assets.sanitize_uri",
    "factory": "airflow_provider_oac.assets.create_asset",
    "to_openlineage_converter": "airflow_provider_oac.assets.convert_asset_to_openlineage",
}


def _modules(package: str, names: str) -> list[str]:
    return [f"airflow_provider_oac.{package}.{name}" for name in names.split()]


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, for Airflow's ``apache_airflow_provider`` entry point."""
    name = "Oracle Analytics Cloud"
    return {
        "package-name": "airflow-provider-oac",
        "name": name,
        "description": "Runs Oracle Analytics Cloud (OAC) from scheduled DAGs: snapshots, exports, runs, catalog.",
        "integrations": [
            {
                "integration-name": name,
                "external-doc-url": "https://docs.oracle.com/en/cloud/paas/analytics-cloud/",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": name,
                "python-modules": _modules(
                    "operators", "acl catalog connections compare api restore runs snapshots sql system workbooks"
                ),
            }
        ],
        "sensors": [
            {
                "integration-name": name,
                "python-modules": _modules("sensors", "base catalog snapshots sql work_requests"),
            }
        ],
        "hooks": [{"integration-name": name, "python-modules": _modules("hooks", "oac sql")}],
        "triggers": [{"integration-name": name, "python-modules": ["airflow_provider_oac.triggers.oac"]}],
        "connection-types": [
            {
                "connection-type": "oac",
                "hook-class-name": "airflow_provider_oac.hooks.connection_type.ConnectionTypeHook",
                "hook-name": name,
                "conn-fields": CONNECTION_FIELDS,
                "ui-field-behaviour": {
                    "hidden-fields": HIDDEN_FIELDS,
                    "relabeling": RELABELING,
                    "placeholders": PLACEHOLDERS,
                },
            }
        ],
        "notifications": [
            "airflow_provider_oac.notifications.oac.OACBackupNotifier",
            "airflow_provider_oac.notifications.oac.OACWorkNotifier",
        ],
        "asset-uris": [ASSETS],
        # The name that Airflow 2 reads.
        "dataset-uris": [ASSETS],
        "filesystems": ["airflow_provider_oac.filesystems.oci"],
        "config": {"oac": {"description": "Oracle Analytics Cloud.", "options": SETTINGS}},
        "cli": ["airflow_provider_oac.cli.parser.airflow_commands"],
        "extra-links": [
            "airflow_provider_oac.links.OACInstanceLink",
            "airflow_provider_oac.links.OACWorkRequestLink",
            "airflow_provider_oac.links.OACWorkbookLink",
        ],
    }
