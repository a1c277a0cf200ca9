"""Control an Airflow 2 without its web server, for tools.stack; run by that Airflow's interpreter.

    airflow2_control.py trigger|clear|set_state

reads the arguments as JSON from standard input and prints the result as JSON on its last line of output. Airflow 3 has
a REST API for this. (The `airflow` command cannot clear the tasks of a single run.)
"""

from __future__ import annotations

import json
import sys
from typing import Any


def trigger(dag_id: str, run_id: str | None, conf: dict[str, Any] | None) -> str:
    """Start a run and return its ID."""
    from airflow.api.client.local_client import Client

    answer = Client(None, None).trigger_dag(dag_id=dag_id, run_id=run_id, conf=conf)
    if answer is None:
        raise LookupError(f"Airflow did not start a run of {dag_id}")
    return str(answer["dag_run_id"])


def _dag(dag_id: str) -> Any:
    from airflow.models.dagbag import DagBag

    dag = DagBag(read_dags_from_db=True).get_dag(dag_id)
    if dag is None:
        raise LookupError(f"there is no DAG {dag_id}")
    return dag


def clear(dag_id: str, run_id: str, task_ids: list[str]) -> int:
    """Clear the named tasks of one run, as the web interface does, and return the number of instances."""
    from airflow.models.taskinstance import TaskInstance, clear_task_instances
    from airflow.utils.session import create_session

    with create_session() as session:
        rows = session.query(TaskInstance).filter(
            TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id.in_(task_ids)
        )
        instances = rows.all()
        clear_task_instances(instances, session, dag=_dag(dag_id))  # type: ignore[call-arg,unused-ignore]
        return len(instances)


def set_state(dag_id: str, run_id: str, task_id: str, state: str) -> int:
    """Set the state of one task of a run and return the number of changed instances."""
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState

    with create_session() as session:
        changed = _dag(dag_id).set_task_instance_state(
            task_id=task_id, run_id=run_id, state=TaskInstanceState(state), session=session
        )
        return len(changed)


if __name__ == "__main__":
    command = {"trigger": trigger, "clear": clear, "set_state": set_state}[sys.argv[1]]
    answer: Any = command(**json.load(sys.stdin))  # type: ignore[operator]
    print("\n" + json.dumps(answer))
