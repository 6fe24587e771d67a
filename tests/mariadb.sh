#!/usr/bin/env bash
# Run a command with a throw-away MariaDB server, whose URL is in EVERLOOP_TEST_MARIADB:
#
#   tests/mariadb.sh .venv/bin/python -m pytest tests/data/test_data_source_sql.py
#
# The server listens on a free loopback port, keeps its files in a temporary folder, and is gone when the command ends.
# Where there is no MariaDB and it cannot be installed, the command runs without, and the tests that need it skip.
set -u

say() { echo "mariadb.sh: $*" >&2; }

[ $# -gt 0 ] || { say "usage: $0 command [argument ...]"; exit 2; }
[ -z "${EVERLOOP_TEST_MARIADB:-}" ] || exec "$@"

find_program() { command -v mariadbd || command -v mysqld || { [ -x /usr/sbin/mariadbd ] && echo /usr/sbin/mariadbd; }; }

program=$(find_program)
if [ -z "$program" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say "installing MariaDB"
  export DEBIAN_FRONTEND=noninteractive
  install="apt-get install -y -q --no-install-recommends mariadb-server"
  { $install || { apt-get update -q && $install; }; } >/dev/null 2>&1
  program=$(find_program)
fi
if [ -z "$program" ] || ! command -v mariadb-install-db >/dev/null; then
  say "no MariaDB here (mariadb-install-db was not found, and only root can install it by apt-get): its tests are skipped"
  exec "$@"
fi

home=$(mktemp -d "${TMPDIR:-/tmp}/everloop-mariadb.XXXXXX")
owner=$(id -un)
if [ "$owner" = root ]; then
  # The server refuses to run as root unless it is told to change to somebody else.
  owner=nobody
  id mysql >/dev/null 2>&1 && owner=mysql
  chown "$owner" "$home"
fi

server=
stop() {
  [ -z "$server" ] || { kill -9 "$server"; wait "$server"; } 2>/dev/null
  rm -rf "$home"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

started=
# Nothing of /etc: only what stands here.
if mariadb-install-db --no-defaults --user="$owner" --datadir="$home/data" --auth-root-authentication-method=normal --skip-test-db >"$home/log" 2>&1; then
  # One statement a line.
  cat >"$home/init.sql" <<'SQL'
create user everloop@'127.0.0.1' identified by '';
grant all on *.* to everloop@'127.0.0.1' with grant option;
create database test;
SQL
  for _ in 1 2 3 4 5; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])') || break
    "$program" --no-defaults --user="$owner" --datadir="$home/data" --bind-address=127.0.0.1 --port="$port" --socket="$home/socket" \
      --pid-file="$home/pid" --init-file="$home/init.sql" --skip-name-resolve --innodb-flush-log-at-trx-commit=0 >>"$home/log" 2>&1 &
    server=$!
    for _ in $(seq 300); do
      kill -0 "$server" 2>/dev/null || break
      if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        started=$port
        break 2
      fi
      sleep 0.1
    done
    kill -9 "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=
  done
fi
if [ -z "$started" ]; then
  say "MariaDB did not start, so its tests are skipped:"
  tail -n 5 "$home/log" >&2
  "$@"
  exit $?
fi

export EVERLOOP_TEST_MARIADB="mysql://everloop@127.0.0.1:$started/test"
"$@"
exit $?
