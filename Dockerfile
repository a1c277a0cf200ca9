# Airflow 3.3 with this provider, for docker-compose.yml. The versions of .venv, hashes included, without what only
# development needs. For production, put your auth manager in.
FROM python:3.12.13-slim-trixie AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /app

COPY requirements/bootstrap.txt requirements/
RUN pip install --require-hashes -r requirements/bootstrap.txt && uv venv --quiet /opt/airflow

# Celery workers, PostgreSQL driver and Redis client are in requirements/airflow-3.3.in. uv checks a constraint's hashes.
ENV VIRTUAL_ENV=/opt/airflow
COPY requirements requirements
COPY pyproject.toml .
RUN uv pip install --quiet --compile-bytecode --constraint requirements/airflow-3.3.txt \
    -r requirements/airflow-3.3.in -r pyproject.toml --extra pdf --extra redis --extra sql

COPY . .
RUN uv pip install --quiet --compile-bytecode --no-deps --no-build-isolation . ./simulator


FROM python:3.12.13-slim-trixie

ENV PYTHONUNBUFFERED=1 AIRFLOW_HOME=/airflow PATH=/opt/airflow/bin:$PATH
WORKDIR /app

RUN useradd --create-home airflow \
    && mkdir -p /airflow /simulator \
    && chown airflow:airflow /airflow /simulator

COPY --from=build /opt/airflow /opt/airflow
COPY tools/container.py tools/oac_connections.py tools/
COPY dags dags

USER airflow
