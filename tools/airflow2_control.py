"""What tools.stack asks of an Airflow 2 without a web server; run by that Airflow's own interpreter.

    airflow2_control.py trigger|clear|set_state

takes the arguments as JSON on standard input and answers as JSON on the last line of its output. Airflow 3 is
asked over its REST API instead. (The `airflow` command cannot clear the tasks of one run only.)
"""

from __future__ import annotations

import json
import sys
from typing import Any


def trigger(dag_id: str, run_id: str | None, conf: dict[str, Any] | None) -> str:
    """Start a run; returns its id."""
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
    """Clear the named tasks of one run, as the web interface does; returns how many instances that were."""
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
    """Mark one task of a run; returns how many instances changed."""
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
