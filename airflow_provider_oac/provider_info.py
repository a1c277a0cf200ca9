"""The provider's metadata for Airflow, which reads it very early: data only, without imports from Airflow."""

from __future__ import annotations

from typing import Any

# The fields of the Connection form besides the standard ones. Airflow masks values by the *name* of their field, so
# every secret has a name on Airflow's list (private_key, …password, …passphrase), and no other field does.
SECRET_FIELDS = ("private_key", "private_key_passphrase", "refresh_token", "user_password")
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "identity_url": {
        "label": "Identity domain URL",
        "description": "Address of the identity domain, such as https://idcs-….identity.oraclecloud.com.",
        "schema": {"type": ["string", "null"], "section": "Sign in"},
    },
    "grant": {
        "label": "Grant",
        "description": "JWT assertion works unattended, also for federated users. For refresh token and device code a "
        "person signs in once, and tasks go on from there; they need a store ([oac] store). Password is not for "
        "federated users.",
        "schema": {
            "type": ["string", "null"],
            "enum": ["jwt_assertion", "refresh_token", "device_code", "password"],
            "values_display": {
                "jwt_assertion": "JWT assertion (unattended, recommended)",
                "refresh_token": "Refresh token (a person signed in elsewhere)",
                "device_code": "Device code (a person signs in with a code)",
                "password": "Password of the user (discouraged)",
            },
            "default": "jwt_assertion",
            "section": "Sign in",
        },
    },
    "scope": {
        "label": "Scope",
        "description": "As the application lists it, for example https://….analytics.ocp.oraclecloud.com"
        "urn:opc:resource:consumer::all; usually another host than the one that users see.",
        "schema": {"type": ["string", "null"], "section": "Sign in"},
    },
    "user": {
        "label": "User",
        "description": "User name in the identity domain of the user to act as. With refresh_token and device_code, "
        "optional: the only one whose sign-in is accepted.",
        "schema": {"type": ["string", "null"], "section": "Sign in"},
    },
    "certificate_alias": {
        "label": "Certificate alias",
        "description": "Alias under which the certificate was imported into the application.",
        "schema": {"type": ["string", "null"], "section": "JWT assertion"},
    },
    "private_key": {
        "label": "Private key",
        "description": "RSA key of that certificate: PEM (also on one line, or base64), or the path of a file on the "
        "machines that run tasks and triggers.",
        "schema": {"type": ["string", "null"], "format": "multiline", "section": "JWT assertion"},
    },
    "private_key_passphrase": {
        "label": "Passphrase of the private key",
        "description": "Optional: only if the key is encrypted.",
        "schema": {"type": ["string", "null"], "format": "password", "section": "JWT assertion"},
    },
    "certificate": {
        "label": "Certificate",
        "description": "Optional: the certificate itself (PEM); it is then named by its thumbprint as well.",
        "schema": {"type": ["string", "null"], "format": "multiline", "section": "JWT assertion"},
    },
    "assertion_audience": {
        "label": "Assertion audience",
        "description": "Optional: audience of the assertions; by default https://identity.oraclecloud.com/.",
        "schema": {"type": ["string", "null"], "section": "JWT assertion"},
    },
    "refresh_token": {
        "label": "Refresh token",
        "description": "For the grant refresh_token: the one to begin with. It is used up by the first task; the store "
        "holds the ones that follow. Leave it empty if you sign in by command.",
        "schema": {"type": ["string", "null"], "format": "password", "section": "Refresh token"},
    },
    "user_password": {
        "label": "Password of the user",
        "description": "For the grant password only.",
        "schema": {"type": ["string", "null"], "format": "password", "section": "Password"},
    },
    "client_authentication": {
        "label": "Client authentication",
        "description": "Optional: by default an assertion where there is a private key, else the client secret by "
        "HTTP Basic, else none.",
        "schema": {
            "type": ["string", "null"],
            "enum": ["assertion", "basic", "body", "none"],
            "values_display": {
                "assertion": "Assertion signed with the private key",
                "basic": "Client secret by HTTP Basic",
                "body": "Client secret in the body",
                "none": "None (public application)",
            },
            "section": "Advanced",
        },
    },
    "instance": {
        "label": "Instance name",
        "description": "Optional: name of this instance in the names of its snapshots; by default from the host. "
        "Set it before the first backup, and keep it when the host name changes.",
        "schema": {"type": ["string", "null"], "section": "Advanced"},
    },
    "ca_file": {
        "label": "CA file",
        "description": "Optional: path of a PEM file with the certificate authorities to trust.",
        "schema": {"type": ["string", "null"], "section": "Advanced"},
    },
    "connect_timeout": {
        "label": "Connect timeout (s)",
        "description": "Optional: seconds until a connection must stand; 10 by default, 60 at most.",
        "schema": {"type": ["number", "null"], "section": "Advanced"},
    },
    "read_timeout": {
        "label": "Read timeout (s)",
        "description": "Optional: seconds of silence after which an answer is given up; 60 by default, 900 at most.",
        "schema": {"type": ["number", "null"], "section": "Advanced"},
    },
}
# The settings of a deployment, [oac] in airflow.cfg.
SETTINGS: dict[str, dict[str, Any]] = {
    "store": {
        "description": "Where the tokens are kept that tasks share. memory: nowhere, each process signs in by itself. "
        "file: in a folder of this host, encrypted with Airflow's Fernet key. redis: for tasks on several hosts, "
        "encrypted as well. The grants refresh_token and device_code need file or redis.",
        "type": "string",
        "version_added": "0.1.0",
        "example": "redis",
        "default": "memory",
    },
    "store_folder": {
        "description": "Absolute path of the folder, for the store file. By default oac-tokens in AIRFLOW_HOME.",
        "type": "string",
        "version_added": "0.1.0",
        "example": "/var/lib/airflow/oac-tokens",
        "default": "",
    },
    "file_folder": {
        "description": "Absolute path of the folder with the files that Connections may name: private keys, "
        "certificates, CA files. Links are resolved first. By default Connections may name any file that the process "
        "may read.",
        "type": "string",
        "version_added": "0.1.0",
        "example": "/etc/airflow/oac",
        "default": "",
    },
    "redis_url": {
        "description": "Address of the server, for the store redis.",
        "type": "string",
        "version_added": "0.1.0",
        "sensitive": True,
        "example": "rediss://:password@redis.example.com:6379/0",
        "default": "",
    },
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


OPERATORS = "acl catalog connections compare api restore runs snapshots sql system workbooks"
SENSORS = "base catalog snapshots sql work_requests"


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
        "operators": [{"integration-name": name, "python-modules": _modules("operators", OPERATORS)}],
        "sensors": [{"integration-name": name, "python-modules": _modules("sensors", SENSORS)}],
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
