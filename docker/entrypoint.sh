#!/bin/sh
# Adds the password to the store's ODBC string, then becomes the command: `docker inspect` shows the string without it.
set -eu

if [ -n "${STORE_PASSWORD_FILE:-}" ]; then
    password=$(sed 's/}/}}/g' "$STORE_PASSWORD_FILE")
    [ -n "$password" ] || { echo "rxsql-entrypoint: $STORE_PASSWORD_FILE is empty." >&2; exit 1; }
    RXSQL_STORE="${RXSQL_STORE%;};PWD={$password}"
    export RXSQL_STORE
    unset STORE_PASSWORD_FILE password
fi
exec "$@"
