#!/usr/bin/env bash
# Run a command with a throw-away PostgreSQL server, whose URL is in EVERLOOP_TEST_POSTGRES:
#
#   tests/postgres.sh .venv/bin/python -m pytest tests/store
#
# The server listens on a free loopback port, keeps its files in a temporary folder, and is gone when the command ends.
# Where there is no PostgreSQL and it cannot be installed, the command runs without, and the tests that need it skip.
set -u

say() { echo "postgres.sh: $*" >&2; }

[ $# -gt 0 ] || { say "usage: $0 command [argument ...]"; exit 2; }
[ -z "${EVERLOOP_TEST_POSTGRES:-}" ] || exec "$@"

find_programs() {
  local folder
  for folder in "$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/initdb)")" $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin 2>/dev/null | sort -rV); do
    if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then echo "$folder"; return; fi
  done
}

programs=$(find_programs)
if [ -z "$programs" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say "installing PostgreSQL"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get install -y -q postgresql || { apt-get update -q && apt-get install -y -q postgresql; }; } >/dev/null 2>&1
  programs=$(find_programs)
fi
if [ -z "$programs" ]; then
  say "no PostgreSQL here (initdb was not found, and only root can install it by apt-get): its tests are skipped"
  exec "$@"
fi

home=$(mktemp -d "${TMPDIR:-/tmp}/everloop-postgres.XXXXXX")
as_owner() { "$@"; }
if [ "$(id -u)" = 0 ]; then
  # The server refuses to run as root.
  owner=nobody
  id postgres >/dev/null 2>&1 && owner=postgres
  chown "$owner" "$home"
  as_owner() { (cd "$home" && runuser -u "$owner" -- "$@"); }
fi

stop() {
  as_owner "$programs/pg_ctl" -D "$home/data" -m immediate -w stop >/dev/null 2>&1
  rm -rf "$home"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

started=
if as_owner "$programs/initdb" -D "$home/data" -U everloop -A trust -E UTF8 --locale=C --no-sync >"$home.log" 2>&1; then
  for _ in 1 2 3 4 5; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])') || break
    options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='' -c fsync=off -c max_connections=200"
    if as_owner "$programs/pg_ctl" -D "$home/data" -o "$options" -l "$home/data/server.log" -w -t 60 start >>"$home.log" 2>&1; then
      started=$port
      break
    fi
  done
fi
if [ -z "$started" ]; then
  say "PostgreSQL did not start, so its tests are skipped:"
  tail -n 5 "$home.log" >&2
  rm -f "$home.log"
  "$@"
  exit $?
fi
rm -f "$home.log"

export EVERLOOP_TEST_POSTGRES="postgresql+psycopg://everloop@127.0.0.1:$started/postgres"
"$@"
exit $?
