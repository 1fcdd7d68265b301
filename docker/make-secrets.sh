#!/bin/sh
# Makes a password a login under secrets/, where there is none yet.
set -eu
cd "$(dirname "$0")"

# The folder keeps other people of this machine out; the files are readable, as Compose mounts them with the mode
# they have here, and the processes that read them are not this user's.
mkdir -p -m 700 secrets
for login in sa worker client; do
    file="secrets/${login}_password"
    [ -s "$file" ] && continue
    # Four kinds of characters, as SQL Server's password policy wants three.
    printf 'Rx-%s' "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" >"$file"
    chmod 644 "$file"
    echo "made docker/$file"
done
