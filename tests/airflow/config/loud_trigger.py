"""A trigger that logs its token in every way. It is no DAG: the triggerer finds it in AIRFLOW_HOME/config."""

from __future__ import annotations

import logging

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.hooks.shared_poller import shared_io


class LoudTrigger(BaseTrigger):
    """Signs in and logs the token."""

    def serialize(self):
        return "loud_trigger.LoudTrigger", {}

    async def run(self):
        hook = OACHook()
        await hook.arun(system.get())
        settings = hook.settings
        async with shared_io(settings.transport) as io:
            token = (await Session(settings.auth).token(io)).access_token
        for log in (self.log, hook.log, logging.getLogger(__name__)):
            log.warning("Loud: %s", token)
            log.warning("Loud in a list: %s", [f"Bearer {token}"])
            try:
                raise ValueError(f"loud error {token}")
            except ValueError:
                log.exception("Loud exception")
        yield TriggerEvent(len(token))
