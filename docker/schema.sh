#!/bin/sh
# Makes the database, rxsql's schema in it, and the logins of worker and client; what is there already stays.
#
# It is the only one that logs in as sa. Passwords reach sqlcmd through the environment, so that no list of processes
# shows them.
set -eu

folder=$(dirname "$0")
secrets=${SECRETS:-/run/secrets}

# -C: the container's certificate is self-signed. -b: end at the first error. -I: quoted identifiers, as ODBC has them.
run_sql() {
    sqlcmd -C -b -I -d "$1" -i "$folder/$2"
}

secret() {
    # logins.sql has the password between single quotes.
    sed "s/'/''/g" "$secrets/$1"
}

SQLCMDPASSWORD=$(cat "$secrets/sa_password")
WORKER_PASSWORD=$(secret worker_password)
CLIENT_PASSWORD=$(secret client_password)
export SQLCMDPASSWORD WORKER_PASSWORD CLIENT_PASSWORD

run_sql master database.sql
rxsql db init
run_sql RxJobs logins.sql
echo "RxJobs is ready: rxsql_worker may run jobs, rxsql_client may submit them."
