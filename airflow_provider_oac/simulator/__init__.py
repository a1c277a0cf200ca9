"""A simulated Oracle Analytics Cloud: identity domain, REST API and storage bucket in one process.

It is a program to develop and test against (`python -m airflow_provider_oac.simulator serve`), written from
the published contract alone: it shares no code with the provider, so that a misreading in the client cannot
hide behind the same misreading in the server. `docs/simulator.md` says which behaviour is documented, which
was observed by others, and which is inferred and must not be relied on.
"""
