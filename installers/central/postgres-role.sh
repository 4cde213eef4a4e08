#!/bin/sh
# Run once by PostgreSQL's image: the role that central uses, and its right to make tables.
set -eu
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
  --set=password="$LANYARD_PASSWORD" <<'SQL'
CREATE ROLE lanyard LOGIN PASSWORD :'password' NOSUPERUSER NOBYPASSRLS;
GRANT CREATE, USAGE ON SCHEMA public TO lanyard;
SQL
