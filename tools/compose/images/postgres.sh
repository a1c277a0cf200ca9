# What PostgreSQL's image does at its start: a cluster in the volume, made once, with the user and database asked for.
set -e
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" >/tmp/password
    initdb --pgdata "$data" --username "$POSTGRES_USER" --pwfile /tmp/password \
        --encoding UTF8 --locale C.UTF-8 --auth-host scram-sha-256 --auth-local trust
    rm /tmp/password
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    printf 'CREATE DATABASE "%s"' "$POSTGRES_DB" | postgres --single -D "$data" postgres
fi
exec postgres -D "$data" -c listen_addresses='*'
