# SPDX-License-Identifier: MIT
# tests/support/mpctl.sh - for tests of mpctl, which read it with `.`: run it, look at what it says.
#
# $work is a directory of the test's own, $status its verdict: `exit $status` at the end.
mpctl=$top_builddir/mpctl/mpctl
[ -x "$mpctl" ] || exit 77
work=$(mktemp -d)
daemon=
status=0
trap 'mpctl_end' EXIT

mpctl_end() {
  [ -z "$daemon" ] || kill "$daemon" 2> /dev/null || true
  rm -rf "$work"
}

wrong() {
  echo "$*" >&2
  status=1
}

# expect CODE ARGUMENT...: output in $work/out and $work/err.
expect() {
  code=0
  wanted=$1
  shift
  "$mpctl" "$@" > "$work/out" 2> "$work/err" || code=$?
  [ $code -eq "$wanted" ] ||
    wrong "mpctl $*: exit status $code, not $wanted: $(cat "$work/err")"
}

# shows FILE TEXT
shows() {
  grep -q -- "$2" "$work/$1" || wrong "no \"$2\" in $1 of the last call: $(cat "$work/$1")"
}

# prints TEXT ARGUMENT...: this and nothing else, and success.
prints() {
  text=$1
  shift
  expect 0 "$@"
  [ "$(cat "$work/out")" = "$text" ] || wrong "mpctl $*: $(cat "$work/out"), not $text"
}

# is_json: every line of the output is.
is_json() {
  python3 -c 'import json, sys
lines = [json.loads(line) for line in sys.stdin]
sys.exit(not lines)' < "$work/out" 2> /dev/null || wrong "this is no JSON: $(cat "$work/out")"
}

# start_daemon OPTION...: one for this test, which mpctl finds.
start_daemon() {
  "$mpctl" help ping > /dev/null 2>&1 || exit 77 # built without
  MP_MANAGERD_SOCKET=$work/socket
  export MP_MANAGERD_SOCKET
  mkfifo "$work/ready"
  "$MP_MANAGERD" --listen "unix:$work/socket" --ready-fd 3 "$@" 3> "$work/ready" &
  daemon=$!
  read -r _ < "$work/ready" || true # closed, or a line: either way it has spoken
}

# ended PID: of no child of this shell, so that somebody else may still have to reap it.
ended() {
  ! kill -0 "$1" || grep -q '^State:[[:space:]]*Z' "/proc/$1/status"
}

# until_true COMMAND...: again and again, for a minute and more.
until_true() {
  tries=0
  while ! "$@" > /dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 1200 ]; then
      wrong "this never came true: $*"
      return
    fi
    sleep 0.05
  done
}
