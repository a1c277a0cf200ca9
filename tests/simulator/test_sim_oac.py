"""The REST API: who may call, snapshots, restore, work requests."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from oac_simulator.oac import bar
from tests.simulator.sim_caller import ADMIN, AUTHOR, SEAL, Caller


def items(sim: Caller, instance: str = "dev") -> list[dict[str, Any]]:
    return list(sim.oac("GET", "/snapshots", instance=instance).json()["items"])


def test_tokens_that_are_not_good(sim: Caller) -> None:
    bare = sim.session.get(sim.url("/system"), timeout=20)
    assert (bare.status_code, bare.headers["WWW-Authenticate"]) == (401, "Bearer")
    for token, text in (("nonsense", "not valid"), (sim.access_token(instance="prod"), "Token Audience")):
        reply = sim.oac("GET", "/system", token=token)
        assert (reply.status_code, text in reply.json()["message"]) == (401, True)
        assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
    token = sim.access_token()
    for seconds, status in ((90.0, 200), (101.0, 401)):
        sim.control.settings(clock_offset=seconds)
        assert sim.status("GET /system", token=token) == status
    assert "expired" in sim.oac("GET", "/system", token=token).headers["WWW-Authenticate"]


def test_a_missing_role_looks_like_a_bad_token(sim: Caller) -> None:
    unauthorized = {"user": AUTHOR, "status": "unauthorized"}
    for method, path in (("GET", "/system"), ("GET", "/snapshots"), ("POST", "/snapshots")):
        reply = sim.oac(method, path, user=AUTHOR)
        assert (reply.status_code, reply.json()) == (401, unauthorized)
    assert sim.status("GET /catalog", user=AUTHOR) == 200
    sim.control.user(AUTHOR, roles=["BIServiceAdministrator"])
    assert sim.status("GET /system", user=AUTHOR) == 200
    sim.control.user(AUTHOR, instance_roles={"dev": []})
    assert [sim.status("GET /system", user=AUTHOR, instance=name) for name in ("dev", "prod")] == [401, 200]
    sim.control.user(AUTHOR, active=False)
    assert sim.oac("GET", "/system", user=AUTHOR, instance="prod").json() == unauthorized


def test_tokens_of_the_profile_page(sim: Caller) -> None:
    def renew(tokens: dict[str, Any], **headers: str) -> Any:
        url = sim.ready["instances"]["dev"]["url"] + "/api/dv/api/v1/tokens/token/refresh"
        given = {"Authorization": f"Bearer {tokens['accessToken']}", "Content-Type": "text/plain", **headers}
        return sim.session.post(url, data=tokens["refreshToken"], headers=given, timeout=20)

    first = sim.control.profile_tokens("dev", AUTHOR)
    assert first.keys() == {"accessToken", "refreshToken", "expiresIn"}
    form = {"grant_type": "refresh_token", "refresh_token": first["refreshToken"]}
    assert sim.token(form, auth=sim.basic).status_code == 400, "they belong to OAC's own application"
    assert renew(first, Authorization="Bearer x").status_code == 401
    assert renew(first, **{"Content-Type": "application/json"}).status_code == 415
    second = renew(first).json()
    assert [sim.status("GET /catalog", token=one["accessToken"]) for one in (first, second)] == [200, 200]
    assert renew(second).ok
    assert renew(first).status_code == 401, "each refresh token works once"
    fresh = sim.control.profile_tokens("dev")
    sim.control.settings(clock_offset=3700.0)
    assert renew(fresh).status_code == 401, "an access token that has expired renews nothing"


def test_paths_outside_the_api(sim: Caller) -> None:
    page = sim.session.get(sim.ready["instances"]["dev"]["url"] + "/ui/", timeout=20, allow_redirects=False)
    prefix = sim.scope().removeprefix("https://").partition(".")[0]
    assert page.status_code == 302
    assert page.headers["Location"].endswith(f"/oauth2/v1/authorize?idcs_app_name={prefix}_APPID")
    assert sim.oac("GET", "/nothing").json()["code"] == "NotFound"
    wrong = sim.oac("PUT", "/snapshots", json={})
    assert (wrong.status_code, wrong.json()["code"]) == (405, "MethodNotAllowed")
    assert wrong.headers["Allow"] == "GET,POST"


def test_a_clock_that_is_off_does_not_hurry_work(sim: Caller) -> None:
    sim.control.settings(work_seconds=600.0)
    sim.start()
    sim.control.settings(clock_offset=600.0)
    [shown] = sim.control.work_requests("dev")
    assert (shown["status"], sim.control.bucket()) == ("ACCEPTED", {})


def test_work_reports_progress(sim: Caller) -> None:
    [work_id] = sim.control.start_work("dev", 2.0)
    seen: list[tuple[str, float]] = []
    while not seen or seen[-1][0] != "SUCCEEDED":
        work = sim.oac("GET", f"/workRequests/{work_id}").json()
        seen.append((work["status"], work["percentComplete"]))
    order = ["ACCEPTED", "IN_PROGRESS", "SUCCEEDED"]
    assert seen == sorted(seen, key=lambda step: (order.index(step[0]), step[1]))
    assert all(percent < 100 for status, percent in seen if status != "SUCCEEDED")


def test_create_writes_a_file(sim: Caller) -> None:
    reply = sim.oac("POST", "/snapshots", json=sim.snapshot_body("a/b/one.bar"))
    assert reply.json()["workRequestId"] == reply.headers["oa-work-request-id"]
    done = sim.ended(reply)
    assert (done["status"], done["percentComplete"], ":" in done["id"]) == ("SUCCEEDED", 100.0, True)
    assert done["timeAccepted"] <= done["timeStarted"] <= done["timeFinished"]
    [listed] = items(sim)
    assert listed == sim.oac("GET", f"/snapshots/{listed['id']}").json()
    assert listed.keys() == {"id", "name", "createdByUser", "timeCreated", "bar", "storage"}
    assert listed["bar"] == {"uri": "file:///a/b/one.bar"}
    data = (Path(sim.ready["bucket_dir"]) / "oac-backups/a/b/one.bar").read_bytes()
    assert sim.control.bucket() == {"oac-backups/a/b/one.bar": len(data)}
    packed = bar.unseal(data, SEAL)
    assert packed.pop("userRoles")[AUTHOR] == ["DVContentAuthor"]
    assert packed == sim.control.content("dev")


@pytest.mark.parametrize("where", ["header", "body"])
def test_the_id_of_a_work_request_is_in_one_place(sim: Caller, where: str) -> None:
    sim.control.settings(work_request_id_in=where)
    reply = sim.oac("POST", "/snapshots", json=sim.snapshot_body())
    assert ("oa-work-request-id" in reply.headers, b"workRequestId" in reply.content) == (
        where == "header",
        where == "body",
    )


def test_a_bar_opens_with_its_password_only(sim: Caller) -> None:
    content = sim.control.content("dev")
    data = bar.seal(content, "dev", SEAL)
    assert bar.unseal(data, SEAL) == content
    assert bar.seal(content, "dev", SEAL) != data, "every seal has its own salt"
    for password in ("snapshotPassword123?", ""):
        with pytest.raises(bar.WrongPassword):
            bar.unseal(data, password)
    # Byte 60 is in the compressed manifest, whose checksum then does not fit.
    for damaged in (data[:-30], data[:60] + bytes([data[60] ^ 1]) + data[61:], b"", b"PK"):
        with pytest.raises(bar.NotABar):
            bar.unseal(damaged, SEAL)


def test_a_bar_is_a_zip_that_can_be_changed(sim: Caller) -> None:
    snapshot_id = sim.snapshot()
    path = Path(sim.ready["bucket_dir"]) / "oac-backups/a/one.bar"
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    place = "content/catalog/root/shared/Sales/Pipeline.workbooks.json"
    files[place] = json.dumps({**json.loads(files[place]), "description": "edited"}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in sorted(files.items()):
            archive.writestr(name, data)
    assert sim.restore(snapshot_id)["status"] == "SUCCEEDED"
    assert sim.oac("GET", "/catalog?search=pipeline").json()[0]["description"] == "edited"


def test_a_registered_snapshot_is_listed_and_restored_at_once(sim: Caller) -> None:
    sim.snapshot()
    sim.control.settings(work_seconds=600.0, listing="late")
    sim.start(sim.snapshot_body(type="REGISTER", bar={"uri": "file:///a/one.bar"}), "prod")
    [registered] = items(sim, "prod")
    sim.control.settings(work_seconds=0.0)
    assert sim.restore(registered["id"], "prod")["status"] == "SUCCEEDED"


def test_what_cannot_be_registered_or_restored(sim: Caller) -> None:
    work = sim.finished(sim.start(sim.snapshot_body("none.bar", type="REGISTER")))
    assert (work["status"], "none.bar" in work["Errors"][0]["message"]) == ("FAILED", True)
    assert items(sim) == []
    unknown = {"snapshot": {"id": "0", "password": SEAL}}
    assert sim.status("POST /system/actions/restoreSnapshot", unknown) == 404


def test_an_instance_can_be_away_while_it_is_restored(sim: Caller) -> None:
    restore = {"snapshot": {"id": sim.snapshot(), "password": SEAL}}
    sim.control.settings(restore_outage=True, work_seconds=600.0)
    assert sim.status("POST /system/actions/restoreSnapshot", restore) == 202
    assert [sim.status("GET /system", instance=name) for name in ("dev", "prod")] == [503, 200]


def test_listed_early_or_late(sim: Caller) -> None:
    sim.control.settings(work_seconds=600.0)
    sim.start()
    [early] = items(sim)
    assert not {"state", "workRequestId"} & early.keys()
    sim.control.settings(listing="late")
    assert items(sim) == []
    assert sim.status(f"GET /snapshots/{early['id']}") == 404
    [known] = sim.control.snapshots("dev")
    assert (known["state"], known["listed"]) == ("IN_PROGRESS", False)


def test_a_bucket_that_does_not_exist(sim: Caller) -> None:
    for change in ({"bucket": "nowhere"}, {"bucketOciRegion": "us-phoenix-1"}, {"bucketOciNamespace": "other"}):
        body = sim.snapshot_body()
        body["storage"] |= change
        work = sim.finished(sim.start(body))
        assert "does not exist in the namespace" in work["Errors"][0]["message"]
    sim.control.settings(missing_bucket="400")
    assert sim.status("POST /snapshots", body) == 400


USER_ID = {
    "type": "OSS_AUTH_OCI_USER_ID", "ociRegion": "r", "ociTenancyId": "t", "ociUserId": "u",
    "ociKeyFingerprint": "aa:bb", "ociPrivateKeyWrapped": "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("type", "COPY"), ("type", None), ("name", None), ("name", ""), ("name", 1), ("name", "a\nb"),
        ("storage", None), ("storage.type", "S3"), ("storage.bucket", None), ("storage.auth", None),
        ("storage.auth.type", "BASIC"), ("storage.bucketOciRegion", ""),
        ("storage.auth", {**USER_ID, "ociUserId": ""}),
        ("storage.auth", {**USER_ID, "ociPrivateKeyWrapped": "-----BEGIN PRIVATE KEY-----"}),
        ("bar", None), ("bar.uri", None), ("bar.uri", "one.bar"), ("bar.uri", "oci://b/one.bar"),
        ("bar.uri", "https://h/one.bar"), ("bar.uri", "file:///one.zip"), ("bar.uri", "file:///../one.bar"),
        ("bar.uri", "file:///a//one.bar"), ("bar.uri", "file:////one.bar"), ("bar.uri", "file:///.bar"),
        ("bar.password", None), ("bar.password", "Short1!"), ("bar.password", "x" * 20),
        ("bar.password", "ALLUPPERCASE123!"), ("bar.password", "NoDigitsInHere!!"),
        ("bar.password", "NoSpecialSign1234"), ("bar.password", "Aa1!" * 13),
    ],
)  # fmt: skip
def test_what_create_refuses(sim: Caller, path: str, value: Any) -> None:
    body = sim.snapshot_body()
    *parents, last = path.split(".")
    target = body
    for parent in parents:
        target = target[parent]
    if value is None:
        del target[last]
    else:
        target[last] = value
    reply = sim.oac("POST", "/snapshots", json=body)
    assert (reply.status_code, reply.json().keys()) == (400, {"code", "message"})
    named = "Invalid Snapshot BAR URI" if path == "bar.uri" and value else path.partition(".")[0]
    assert named in reply.json()["message"]
    assert sim.control.snapshots("dev") == []


def test_user_id_authentication_shows_no_key(sim: Caller) -> None:
    body = sim.snapshot_body()
    body["storage"]["auth"] = USER_ID
    sim.snapshot(body)
    assert items(sim)[0]["storage"]["auth"] == {"type": "OSS_AUTH_OCI_USER_ID"}


def test_overwriting_is_a_setting(sim: Caller) -> None:
    sim.snapshot()
    assert sim.snapshot()
    sim.control.settings(overwrite=False)
    assert sim.finished(sim.start())["Errors"][0]["code"] == "ObjectExists"
    sim.control.settings(unique_names=True)
    assert sim.status("POST /snapshots", sim.snapshot_body()) == 409


def test_work_requests_belong_to_who_started_them(sim: Caller) -> None:
    [mine], [theirs] = sim.control.start_work("dev", 600.0), sim.control.start_work("dev", 600.0, user=AUTHOR)
    for work_id, user, instance, status in (
        (theirs, AUTHOR, "dev", 200), (theirs, ADMIN, "dev", 200),
        (mine, AUTHOR, "dev", 404), (mine, ADMIN, "prod", 404),
    ):  # fmt: skip
        assert sim.status(f"GET /workRequests/{work_id}", user=user, instance=instance) == status
