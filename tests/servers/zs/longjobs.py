# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Long jobs: jobs with a row of their own, which a restart does not lose and which can be cancelled."""

from __future__ import annotations

import json
from typing import Any

from .contract import facts
from .errors import ApiError, bad_argument
from .jobs import Job
from .routes import Call, check, handles, work
from .rows import inventory
from .state import Row


def _inner(call: Call, row: dict[str, Any]) -> Call:
    """The call that a long job stands for; its data are checked when it is submitted."""
    name = row["jobName"].removeprefix("API").removesuffix("Msg")
    if row["jobName"] not in facts()["long_job_names"]:
        raise bad_argument(f"{row['jobName']} is not an API, or none for long jobs")
    if name not in call.cloud.contract.apis:
        raise ApiError("LONG_JOB.1003", f"the test server does not simulate {name}")
    try:
        data = json.loads(row["jobData"])
    except ValueError:
        raise bad_argument("jobData is not valid JSON") from None
    if not isinstance(data, dict):
        raise bad_argument("jobData is no JSON object")
    tags = data.pop("systemTags", None) or []
    return Call(call.cloud, call.cloud.contract.apis[name], data, tags, [], call.caller)


def _run(call: Call, inner: Call, row: Row) -> None:
    cloud, began = call.cloud, call.cloud.clock.now()

    def told(job: Job) -> None:
        if row["state"] != "Running":
            return
        row["state"] = "Failed" if job.error else "Succeeded"
        row["jobResult"] = json.dumps({"error": job.error.row()} if job.error else job.result)
        row["executeTime"] = int(cloud.clock.now() - began)
        cloud.touch(row)

    row.update(state="Running", apiId=cloud.new_uuid(), jobResult=None)
    job = cloud.jobs.spawn(row["apiId"], inner.api.name, inner.lock(), lambda: work(inner), told)
    row["_job"] = job


@handles("SubmitLongJob")
def submit(call: Call) -> dict[str, Any]:
    cloud, params = call.cloud, call.params
    about = {"jobName": params["jobName"], "jobData": params["jobData"]}
    inner = _inner(call, about)
    check(inner)
    row = cloud.add(
        "LongJob", uuid=params.get("resourceUuid"), name=params.get("name") or params["jobName"], **about,
        description=params.get("description"), targetResourceUuid=params.get("targetResourceUuid"), state="Waiting",
        managementNodeUuid=next(iter(cloud.table("ManagementNode"))), executeTime=None,
    )  # fmt: skip
    _run(call, inner, row)
    return inventory(cloud, "LongJob", row)


@handles("UpdateLongJob")
def update(call: Call) -> dict[str, Any]:
    row = call.row("LongJob")
    row.update(call.given("name", "description"))
    call.cloud.touch(row)
    return inventory(call.cloud, "LongJob", row)


@handles("CancelLongJob")
def cancel(call: Call) -> dict[str, Any]:
    row = call.row("LongJob")
    if row["state"] in facts()["long_job_final_states"]:
        raise ApiError("LONG_JOB.1001", f"there has no cancelable task for the longjob[uuid:{row['uuid']}]")
    row["state"] = "Canceled"
    call.cloud.jobs.drop(row["_job"])
    call.cloud.find_out(row["targetResourceUuid"] or row["_job"].lock)
    return {}


@handles("RerunLongJob", "ResumeLongJob")
def rerun(call: Call) -> dict[str, Any]:
    row = call.row("LongJob")
    wanted = ("Suspended",) if call.api.name == "ResumeLongJob" else ("Failed", "Canceled")
    if row["state"] not in wanted:
        raise bad_argument(f"a longjob must be in {wanted} for this, not in {row['state']}")
    _run(call, _inner(call, row), row)
    return inventory(call.cloud, "LongJob", row)


@handles("DeleteLongJob")
def delete(call: Call) -> dict[str, Any]:
    row = call.cloud.table("LongJob").get(call.params["uuid"])
    if row and row["state"] not in facts()["long_job_final_states"]:
        raise bad_argument("a longjob that is not over cannot be deleted")
    call.cloud.remove("LongJob", call.params["uuid"])
    return {}


@handles("CleanLongJob")
def clean(_call: Call) -> dict[str, Any]:
    return {}


@handles("GetTaskProgress")
def progress(call: Call) -> dict[str, Any]:
    job = call.cloud.jobs.by_uuid.get(call.params.get("apiId", ""))
    if job is None or job.over:
        return {"inventories": []}
    row = {"taskUuid": job.uuid, "taskName": f"org.zstack.API{job.api}Msg", "type": "Progress", "content": "50"}
    return {"inventories": [row]}
