"""docker-compose.yml and the `.env` that belongs to it, as far as they can be judged without containers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools import make_env
from tools.cluster import COMPOSE, LONG_RUNNING, compose_file, interpolated
from tools.compose import run

SERVICES: dict[str, Any] = compose_file()["services"]
ASKED = sorted(set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE.read_text())))


def test_every_secret_is_generated_and_none_has_a_default() -> None:
    assert sorted(make_env.generated()) == ASKED
    for name in ASKED:
        assert f"${{{name}:?" in COMPOSE.read_text(), f"without {name} Compose would go on with an empty value"
    assert not re.search(r"\$\{\w+:?-", COMPOSE.read_text())


@pytest.mark.parametrize("name", list(SERVICES))
def test_a_service(name: str) -> None:
    service = SERVICES[name]
    assert ("healthcheck" in service) is (name not in ("init", "connections")), "what runs all the time has one"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), "only this machine reaches it"
    assert service.get("user") == {"postgres": None, "redis": "redis"}.get(name, "airflow"), "ours do not run as root"
    for volume in service.get("volumes", ()):
        source = volume.partition(":")[0]
        assert source in compose_file()["volumes"] or (COMPOSE.parent / source).is_dir()


def test_one_service_builds_the_image_that_all_of_them_run() -> None:
    """Several that build one image side by side fail on a machine that does not have it yet."""
    assert [name for name, service in SERVICES.items() if "build" in service] == ["init"]
    others = [service for name, service in SERVICES.items() if name not in ("postgres", "redis", "init")]
    assert {service["pull_policy"] for service in others} == {"never"}
    assert all("init" in SERVICES[name]["depends_on"] for name in (*LONG_RUNNING, "simulator", "connections"))


def test_the_simulator_speaks_tls_and_is_there_in_the_demo_only() -> None:
    assert "--tls" in SERVICES["simulator"]["command"]
    assert SERVICES["simulator"]["profiles"] == SERVICES["connections"]["profiles"] == ["demo"]
    for name in ("init", *LONG_RUNNING):
        assert "simulator" not in SERVICES[name].get("depends_on", {})


def test_an_env_file_is_private_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# mine\nREDIS_PASSWORD=chosen\nJWT_SECRET=\nOTHER=1\n")
    assert "JWT_SECRET" in make_env.write(path)
    values = make_env.read(path)
    assert (path.stat().st_mode & 0o777, "# mine" in path.read_text()) == (0o600, True)
    assert (values["REDIS_PASSWORD"], values["OTHER"]) == ("chosen", "1")
    assert (set(values), all(values.values())) == ({*ASKED, "OTHER"}, True)
    assert (make_env.write(path), make_env.read(path)) == ([], values)


def test_texts_are_interpolated_as_compose_does() -> None:
    assert interpolated("a:${X:?run y}@b ${Z} $${HOME}", {"X": "1", "Z": "2"}) == "a:1@b 2 ${HOME}"
    with pytest.raises(KeyError):
        interpolated("${UNKNOWN:?message}", {})


def test_images_of_others_are_pinned_by_an_exact_tag() -> None:
    images = {service["image"] for service in SERVICES.values()} - {"airflow-provider-oac"}
    images |= set(re.findall(r"^FROM (\S+)", (COMPOSE.parent / "Dockerfile").read_text(), re.MULTILINE))
    assert len(images) == 3
    for image in images:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-[a-z]+(\d+\.\d+|-[a-z]+)", image)


@pytest.mark.parametrize("name", list(SERVICES))
def test_no_process_has_a_secret_among_its_arguments(name: str) -> None:
    """A shell's here-document is no argument of what the shell becomes; Compose's own `${…}` would be one."""
    service = SERVICES[name]
    command = service.get("command", [])
    words = [command] if isinstance(command, str) else [*command, *service.get("healthcheck", {}).get("test", [])]
    arguments = [re.sub(r"<<(\w+)\n.*?^\1$", "", word, flags=re.DOTALL | re.MULTILINE) for word in words]
    assert not re.search(r"\$\$?\{?(\w*PASSWORD|\w*AUTH|\w*SECRET|\w*KEY)", " ".join(arguments))


def test_redis_takes_its_password_from_standard_input(tmp_path: Path) -> None:
    """The command of the service, with a program of that name that shows what it was started with."""
    program = tmp_path / "redis-server"
    program.write_text('#!/bin/sh\necho "arguments: $*"\ncat\n')
    program.chmod(0o755)
    command = [word.replace("$$", "$") for word in SERVICES["redis"]["command"]]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REDISCLI_AUTH": "a-password"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert said == 'arguments: - --appendonly yes\nrequirepass "a-password"\n'


# -- tools/compose/run.py


def test_the_run_in_containers_knows_every_service_and_base_image() -> None:
    replicas = {n: SERVICES[n].get("deploy", {}).get("replicas", 1) for n in SERVICES if n not in run.ENDING}
    assert replicas == run.RUNNING
    assert all(SERVICES[name]["restart"] == "no" for name in run.ENDING)
    images = run.base_images(COMPOSE.read_text(), (COMPOSE.parent / "Dockerfile").read_text())
    assert sorted(images) == ["postgres", "python", "redis"]
    assert all(image.startswith(f"{name}:") for name, image in images.items())


def test_what_is_not_healthy_is_named() -> None:
    running = [{"Service": n, "Health": "healthy", "State": "running", "ExitCode": 0} for n in run.RUNNING]
    ended = [{"Service": n, "Health": "", "State": "exited", "ExitCode": 0} for n in run.ENDING]
    replicas = [dict(c) for c in running if run.RUNNING[c["Service"]] == 2]
    assert run.missing([*running, *replicas, *ended]) == []
    replicas[0]["Health"], ended[0]["ExitCode"] = "unhealthy", 1
    wanted = ["triggerer (1 of 2 healthy)", "init (has not ended with 0)"]
    assert run.missing([*running, *replicas, *ended]) == wanted
