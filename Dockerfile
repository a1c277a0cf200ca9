# Airflow 3.3 with this provider, for docker-compose.yml. Same locked requirements as .venv, hashes included.
# Celery workers, PostgreSQL driver and Redis client are in the lock. For production, put your auth manager in.
FROM python:3.12.13-slim-trixie

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

COPY requirements/bootstrap.txt requirements/airflow-3.3.txt requirements/
RUN pip install --require-hashes -r requirements/bootstrap.txt \
    && uv pip install --system --no-cache --require-hashes -r requirements/airflow-3.3.txt

COPY . .
RUN uv pip install --system --no-cache --no-deps --no-build-isolation . ./simulator \
    && useradd --create-home airflow \
    && mkdir -p /airflow /simulator \
    && chown airflow:airflow /airflow /simulator

USER airflow
ENV AIRFLOW_HOME=/airflow
