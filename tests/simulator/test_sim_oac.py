"""The REST API: who may call, snapshots, restore, work requests, catalog."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from oac_simulator.oac import bar
from tests.simulator.sim_caller import ADMIN, SEAL, Caller

AUTHOR = "oac.author@example.com"


def items(sim: Caller, instance: str = "dev") -> list[dict[str, Any]]:
    return list(sim.oac("GET", "/snapshots", instance=instance).json()["items"])


# ------------------------------------------------------------------------------------------ who may call


def test_tokens_that_are_not_good(sim: Caller) -> None:
    bare = sim.session.get(sim.url("/system"), timeout=20)
    assert (bare.status_code, bare.headers["WWW-Authenticate"]) == (401, "Bearer")
    for token, text in (("nonsense", "not valid"), (sim.access_token(instance="prod"), "Token Audience")):
        reply = sim.oac("GET", "/system", token=token)
        assert reply.status_code == 401
        assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
        assert text in reply.json()["message"]


def test_expired_and_ended_tokens(sim: Caller) -> None:
    token = sim.access_token()
    assert sim.oac("GET", "/system", token=token).status_code == 200
    sim.control.settings(clock_offset=101.0)
    assert "expired" in sim.oac("GET", "/system", token=token).headers["WWW-Authenticate"]
    sim.control.settings(clock_offset=0.0)
    assert sim.oac("GET", "/system", token=token).status_code == 200
    sim.control.end_tokens()
    assert sim.oac("GET", "/system", token=token).status_code == 401
    fresh = sim.token(sim.jwt_form()).json()["access_token"]
    assert sim.oac("GET", "/system", token=fresh).status_code == 200


def test_client_credentials_token_meets_a_500(sim: Caller) -> None:
    form = {"grant_type": "client_credentials", "scope": sim.scope()}
    token = sim.token(form, auth=sim.basic).json()["access_token"]
    reply = sim.oac("GET", "/system", token=token)
    assert reply.status_code == 500
    assert reply.json() == {"servlet": "PublicAPIJerseyServlet", "message": "Server Error"}


def test_missing_role_looks_like_a_bad_token(sim: Caller) -> None:
    for method, path in (("GET", "/system"), ("GET", "/snapshots"), ("POST", "/snapshots")):
        reply = sim.oac(method, path, user=AUTHOR)
        assert (reply.status_code, reply.json()) == (401, {"user": AUTHOR, "status": "unauthorized"})
    assert sim.oac("GET", "/catalog", user=AUTHOR).status_code == 200
    sim.control.user(AUTHOR, roles=["BIServiceAdministrator"])
    assert sim.oac("GET", "/system", user=AUTHOR).status_code == 200
    sim.control.user(AUTHOR, instance_roles={"dev": []})
    assert sim.oac("GET", "/system", user=AUTHOR).status_code == 401
    assert sim.oac("GET", "/system", user=AUTHOR, instance="prod").status_code == 200


def test_user_switched_off_after_signing_in(sim: Caller) -> None:
    assert sim.oac("GET", "/system").status_code == 200
    sim.control.user(ADMIN, active=False)
    assert sim.oac("GET", "/system").json() == {"user": ADMIN, "status": "unauthorized"}


def test_tokens_of_the_profile_page(sim: Caller) -> None:
    first = sim.control.profile_tokens("dev", AUTHOR)
    assert first.keys() == {"accessToken", "refreshToken", "expiresIn"}
    assert sim.oac("GET", "/catalog", token=first["accessToken"]).ok
    form = {"grant_type": "refresh_token", "refresh_token": first["refreshToken"]}
    assert sim.token(form, auth=sim.basic).status_code == 400, "they belong to OAC's own application"

    def renew(tokens: dict[str, Any], **headers: str) -> Any:
        url = sim.ready["instances"]["dev"]["url"] + "/api/dv/api/v1/tokens/token/refresh"
        given = {"Authorization": f"Bearer {tokens['accessToken']}", "Content-Type": "text/plain", **headers}
        return sim.session.post(url, data=tokens["refreshToken"], headers=given, timeout=20)

    assert renew(first, Authorization="Bearer x").status_code == 401
    assert renew(first, **{"Content-Type": "application/json"}).status_code == 415
    second = renew(first).json()
    assert sim.oac("GET", "/catalog", token=second["accessToken"]).ok
    assert renew(second).ok
    assert renew(first).status_code == 401, "each refresh token works once"
    fresh = sim.control.profile_tokens("dev")
    sim.control.settings(clock_offset=3700.0)
    assert renew(fresh).status_code == 401, "an access token that has expired renews nothing"


def test_paths_outside_the_api(sim: Caller) -> None:
    page = sim.session.get(sim.ready["instances"]["dev"]["url"] + "/ui/", timeout=20, allow_redirects=False)
    assert page.status_code == 302
    prefix = sim.scope().removeprefix("https://").partition(".")[0]
    assert page.headers["Location"].endswith(f"/oauth2/v1/authorize?idcs_app_name={prefix}_APPID")
    assert sim.oac("GET", "/nothing").json()["code"] == "NotFound"
    wrong = sim.oac("PUT", "/snapshots", json={})
    assert (wrong.status_code, wrong.json()["code"]) == (405, "MethodNotAllowed")
    assert wrong.headers["Allow"] == "GET,POST"


# --------------------------------------------------------------------------------------------- snapshots


def test_work_takes_time(sim: Caller) -> None:
    sim.control.settings(work_seconds=600.0)
    work_id = sim.start()
    work = sim.oac("GET", f"/workRequests/{work_id}").json()
    assert work["status"] == "ACCEPTED"
    assert work["percentComplete"] == 0.0
    assert "timeStarted" not in work
    sim.control.settings(clock_offset=600.0)
    [shown] = sim.control.work_requests("dev")
    assert shown["status"] == "ACCEPTED", "a clock that is off does not hurry work"
    assert sim.control.bucket() == {}


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
    assert reply.status_code == 202
    assert reply.json()["workRequestId"] == reply.headers["oa-work-request-id"]
    work_id = reply.json()["workRequestId"]
    assert ":" in work_id
    done = sim.finished(work_id)
    assert (done["status"], done["percentComplete"]) == ("SUCCEEDED", 100.0)
    assert done["operationType"] == "CREATE_SNAPSHOT"
    assert done["timeAccepted"] <= done["timeStarted"] <= done["timeFinished"]
    [listed] = items(sim)
    assert listed == sim.oac("GET", f"/snapshots/{listed['id']}").json()
    assert done["resources"][0]["id"] == listed["id"]
    assert listed.keys() == {"id", "name", "createdByUser", "timeCreated", "bar", "storage"}
    assert listed["bar"] == {"uri": "file:///a/b/one.bar"}
    path = Path(sim.ready["bucket_dir"]) / "oac-backups/a/b/one.bar"
    data = path.read_bytes()
    assert sim.control.bucket() == {"oac-backups/a/b/one.bar": len(data)}
    packed = bar.unseal(data, SEAL)
    assert packed.pop("userRoles")[AUTHOR] == ["DVContentAuthor"]
    assert packed == sim.control.content("dev")


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
    reply = sim.oac("POST", "/system/actions/restoreSnapshot", json={"snapshot": {"id": snapshot_id, "password": SEAL}})
    assert sim.finished(reply.headers["oa-work-request-id"])["status"] == "SUCCEEDED"
    assert sim.oac("GET", "/catalog?search=pipeline").json()[0]["description"] == "edited"


def test_restore_brings_content_back(sim: Caller) -> None:
    before = sim.control.content("dev")
    snapshot_id = sim.snapshot()
    lost = sim.control.damage("dev")
    assert lost
    names = {item["name"] for item in sim.oac("GET", "/catalog?search=*").json()}
    assert "Pipeline" not in names
    reply = sim.oac("POST", "/system/actions/restoreSnapshot", json={"snapshot": {"id": snapshot_id, "password": SEAL}})
    assert (reply.status_code, reply.content) == (202, b"")
    done = sim.finished(reply.headers["oa-work-request-id"])
    assert (done["status"], done["operationType"]) == ("SUCCEEDED", "RESTORE_SNAPSHOT")
    assert sim.control.content("dev") == before
    names = {item["name"] for item in sim.oac("GET", "/catalog?search=*").json()}
    assert "Pipeline" in names
    assert [item["id"] for item in items(sim)] == [snapshot_id]


def test_restore_with_a_wrong_password(sim: Caller) -> None:
    snapshot_id = sim.snapshot()
    sim.control.damage("dev")
    damaged = sim.control.content("dev")
    wrong = {"snapshot": {"id": snapshot_id, "password": "snapshotPassword123?"}}
    reply = sim.oac("POST", "/system/actions/restoreSnapshot", json=wrong)
    done = sim.finished(reply.headers["oa-work-request-id"])
    assert done["status"] == "FAILED"
    assert done["Errors"][0]["code"] == "InvalidPassword"
    assert sim.control.content("dev") == damaged
    sim.control.settings(wrong_password="400")
    assert sim.oac("POST", "/system/actions/restoreSnapshot", json=wrong).status_code == 400
    unknown = {"snapshot": {"id": "0", "password": SEAL}}
    assert sim.oac("POST", "/system/actions/restoreSnapshot", json=unknown).status_code == 404


def test_register_in_another_instance_and_clone(sim: Caller) -> None:
    sim.snapshot()
    body = sim.snapshot_body(type="REGISTER", description="accepted and ignored")
    del body["bar"]["password"]
    work = sim.finished(sim.start(body, "prod"), "prod")
    assert (work["status"], work["operationType"]) == ("SUCCEEDED", "REGISTER_SNAPSHOT")
    [registered] = items(sim, "prod")
    reply = sim.oac(
        "POST", "/system/actions/restoreSnapshot", instance="prod",
        json={"snapshot": {"id": registered["id"], "password": SEAL}},
    )  # fmt: skip
    assert sim.finished(reply.headers["oa-work-request-id"], "prod")["status"] == "SUCCEEDED"
    assert sim.control.content("prod") == sim.control.content("dev")


def test_a_registered_snapshot_is_listed_and_restored_at_once(sim: Caller) -> None:
    sim.snapshot()
    sim.control.settings(work_seconds=600.0, listing="late")
    body = sim.snapshot_body(type="REGISTER")
    del body["bar"]["password"]
    sim.start(body, "prod")
    [registered] = items(sim, "prod")
    wanted = {"snapshot": {"id": registered["id"], "password": SEAL}}
    sim.control.settings(work_seconds=0.0)
    reply = sim.oac("POST", "/system/actions/restoreSnapshot", instance="prod", json=wanted)
    assert sim.finished(reply.headers["oa-work-request-id"], "prod")["status"] == "SUCCEEDED"
    assert sim.control.content("prod") == sim.control.content("dev")


def test_register_without_a_file(sim: Caller) -> None:
    body = sim.snapshot_body("none.bar", type="REGISTER")
    work = sim.finished(sim.start(body))
    assert work["status"] == "FAILED"
    assert "none.bar" in work["Errors"][0]["message"]
    assert items(sim) == []


def test_delete_with_and_without_the_file(sim: Caller) -> None:
    kept, gone = sim.snapshot(sim.snapshot_body("kept.bar")), sim.snapshot(sim.snapshot_body("gone.bar"))
    reply = sim.oac("DELETE", f"/snapshots/{kept}")
    assert (reply.status_code, reply.content) == (200, b"")
    assert sim.oac("DELETE", f"/snapshots/{gone}?deleteStorage=true").status_code == 200
    assert list(sim.control.bucket()) == ["oac-backups/kept.bar"]
    assert items(sim) == []
    assert sim.oac("DELETE", f"/snapshots/{gone}").status_code == 404
    assert sim.oac("GET", f"/snapshots/{gone}").status_code == 404
    assert sim.oac("DELETE", f"/snapshots/{gone}?deleteStorage=maybe").status_code == 400


def test_listed_early_or_late(sim: Caller) -> None:
    sim.control.settings(work_seconds=600.0)
    sim.start()
    [early] = items(sim)
    assert "state" not in early
    assert "workRequestId" not in early
    sim.control.settings(listing="late")
    assert items(sim) == []
    assert sim.oac("GET", f"/snapshots/{early['id']}").status_code == 404
    [known] = sim.control.snapshots("dev")
    assert (known["state"], known["listed"]) == ("IN_PROGRESS", False)


def test_failed_work_and_its_entry_in_the_list(sim: Caller) -> None:
    ordered = [{"code": "StorageFull", "message": "No space is left."}]
    sim.control.fault("POST /snapshots", "fail_work", errors=ordered)
    work = sim.finished(sim.start())
    assert (work["status"], work["Errors"]) == ("FAILED", ordered)
    assert "resources" not in work
    assert sim.control.bucket() == {}
    assert items(sim) == []
    sim.control.settings(failed_listing="keep")
    assert len(items(sim)) == 1
    assert sim.snapshot(sim.snapshot_body(name="two")), "the next one is not hit"


def test_bucket_that_does_not_exist(sim: Caller) -> None:
    for change in ({"bucket": "nowhere"}, {"bucketOciRegion": "us-phoenix-1"}, {"bucketOciNamespace": "other"}):
        body = sim.snapshot_body()
        body["storage"] |= change
        work = sim.finished(sim.start(body))
        assert work["status"] == "FAILED"
        assert "does not exist in the namespace" in work["Errors"][0]["message"]
    sim.control.settings(missing_bucket="400")
    assert sim.oac("POST", "/snapshots", json=body).status_code == 400
    body["storage"] |= {"bucketOciRegion": sim.ready["region"], "bucketOciNamespace": sim.ready["namespace"]}
    assert sim.snapshot(body)


def test_where_the_work_request_id_is(sim: Caller) -> None:
    sim.control.settings(work_request_id_in="body")
    reply = sim.oac("POST", "/snapshots", json=sim.snapshot_body())
    assert "oa-work-request-id" not in reply.headers
    assert reply.json()["workRequestId"]
    sim.control.settings(work_request_id_in="header")
    reply = sim.oac("POST", "/snapshots", json=sim.snapshot_body())
    assert reply.content == b""
    assert reply.headers["oa-work-request-id"]


def test_what_a_finished_work_request_names(sim: Caller) -> None:
    work_id = sim.start()
    assert sim.finished(work_id)["resources"][0]["id"]
    sim.control.settings(work_resources="no_id")
    assert sim.finished(work_id)["resources"][0].keys() == {"actionResult", "resourceType", "metadata"}
    sim.control.settings(work_resources="none")
    assert "resources" not in sim.finished(work_id)


def _change(path: str, value: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "CREATE", "name": "one",
        "storage": {"type": "OCI_NATIVE", "bucket": "oac-backups", "auth": {"type": "OCI_RESOURCE_PRINCIPAL"}},
        "bar": {"uri": "file:///one.bar", "password": SEAL},
    }  # fmt: skip
    *parents, last = path.split(".")
    target = body
    for parent in parents:
        target = target[parent]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return body


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
    reply = sim.oac("POST", "/snapshots", json=_change(path, value))
    assert reply.status_code == 400, reply.text
    assert reply.json().keys() == {"code", "message"}
    named = "Invalid Snapshot BAR URI" if path == "bar.uri" and value else path.partition(".")[0]
    assert named in reply.json()["message"]
    assert sim.control.snapshots("dev") == []


def test_user_id_authentication_shows_no_key(sim: Caller) -> None:
    sim.snapshot(_change("storage.auth", USER_ID))
    assert items(sim)[0]["storage"]["auth"] == {"type": "OSS_AUTH_OCI_USER_ID"}


def test_body_that_is_no_json(sim: Caller) -> None:
    for data in (b"", b"{", b"[]", b"\xff"):
        assert sim.oac("POST", "/snapshots", data=data).status_code == 400


def test_overwriting_is_a_setting(sim: Caller) -> None:
    sim.snapshot()
    assert sim.snapshot()
    sim.control.settings(overwrite=False)
    assert sim.finished(sim.start())["Errors"][0]["code"] == "ObjectExists"
    sim.control.settings(unique_names=True)
    assert sim.oac("POST", "/snapshots", json=sim.snapshot_body()).status_code == 409


def test_work_requests_belong_to_who_started_them(sim: Caller) -> None:
    [mine] = sim.control.start_work("dev", 600.0)
    [theirs] = sim.control.start_work("dev", 600.0, user=AUTHOR)
    assert sim.oac("GET", f"/workRequests/{theirs}", user=AUTHOR).status_code == 200
    assert sim.oac("GET", f"/workRequests/{theirs}").status_code == 200
    assert sim.oac("GET", f"/workRequests/{mine}", user=AUTHOR).status_code == 404
    assert sim.oac("GET", f"/workRequests/{mine}", instance="prod").status_code == 404
    assert len(sim.control.work_requests("dev")) == 2


# ----------------------------------------------------------------------------------------------- catalog


def test_catalog_without_and_with_search(sim: Caller) -> None:
    assert {"type": "workbooks"} in sim.oac("GET", "/catalog").json()
    assert sim.oac("GET", "/catalog?type=connections").json() == [{"type": "connections"}]
    assert sim.oac("GET", "/catalog/connections").json() == {"type": "connections"}
    reply = sim.oac("GET", "/catalog/workbooks?search=*&limit=3")
    assert len(reply.json()) == 3
    headers = {name: reply.headers[f"oa-{name}"] for name in ("current-page", "page-count", "total-items")}
    assert headers == {"current-page": "1", "page-count": "3", "total-items": "8"}
    assert reply.headers["oa-next-page"] == "2"
    last = sim.oac("GET", "/catalog/workbooks?search=*&limit=3&page=3")
    assert len(last.json()) == 2
    assert "oa-next-page" not in last.headers
    [found] = sim.oac("GET", "/catalog?search=revenue").json()
    for text in (found["id"], found["id"] + "=" * (-len(found["id"]) % 4)):
        assert sim.oac("GET", f"/catalog/workbooks/{text}").json() == found
    assert sim.oac("GET", f"/catalog/datasets/{found['id']}").status_code == 404
    assert sim.oac("GET", "/catalog/nothing").status_code == 400
    assert sim.oac("GET", "/catalog?search=*&page=0").status_code == 400


def test_search_index_after_a_restore(sim: Caller) -> None:
    sim.control.settings(index_seconds=600.0)
    restore = {"snapshot": {"id": sim.snapshot(), "password": SEAL}}
    reply = sim.oac("POST", "/system/actions/restoreSnapshot", json=restore)
    sim.finished(reply.headers["oa-work-request-id"])
    busy = sim.oac("GET", "/catalog?search=*")
    assert (busy.status_code, busy.json()["code"]) == (503, "SearchIndexNotReady")
    assert busy.headers["Retry-After"] == "1"
    assert sim.oac("GET", "/catalog").status_code == 200


def test_outage_during_a_restore(sim: Caller) -> None:
    restore = {"snapshot": {"id": sim.snapshot(), "password": SEAL}}
    sim.control.settings(restore_outage=True, work_seconds=600.0)
    assert sim.oac("POST", "/system/actions/restoreSnapshot", json=restore).status_code == 202
    assert sim.oac("GET", "/system").status_code == 503
    assert sim.oac("GET", "/system", instance="prod").status_code == 200


def test_system_and_settings(sim: Caller) -> None:
    assert sim.oac("GET", "/system").json().keys() == {"serviceInstanceKey", "description", "owners"}
    every = sim.oac("GET", "/system/settings").json()["items"]
    assert {"key": "EmailMaxRecipients", "value": "512"} in every
    for query in (
        "key=EmailMaxRecipients&key=DefaultUserPreferredTimeZone",
        "key=EmailMaxRecipients,DefaultUserPreferredTimeZone",
    ):
        assert len(sim.oac("GET", f"/system/settings?{query}").json()["items"]) == 2
