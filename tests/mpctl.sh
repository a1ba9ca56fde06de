#!/bin/sh
# mpctl: what it prints and how it ends.
set -eu
mpctl=$top_builddir/mpctl/mpctl
maker=$top_builddir/tests/leave_block
[ -x "$mpctl" ] || exit 77
work=$(mktemp -d)
name=mpctl-$$
trap 'rm -rf "$work"; rm -f "/dev/shm/mp.$name"' EXIT
status=0

# expect CODE ARGUMENT...: output in $work/out and $work/err.
expect() {
  code=0
  wanted=$1
  shift
  "$mpctl" "$@" > "$work/out" 2> "$work/err" || code=$?
  [ $code -eq "$wanted" ] || { echo "mpctl $*: exit status $code, not $wanted" >&2; status=1; }
}

# shows FILE TEXT
shows() {
  grep -q -- "$2" "$work/$1" || { echo "no \"$2\" in $1:" >&2; cat "$work/$1" >&2; status=1; }
}

expect 2
shows err usage
expect 0 --help
shows out 'gc  *named'
expect 0 --version
shows out '^mpctl (libmp) [0-9]'
expect 2 nonsense
expect 2 gc --nonsense
shows err 'no option --nonsense'
expect 2 gc something
expect 0 gc --help
shows out '--remove'

"$maker" "$name" || true
expect 0 gc
shows out "leave_block ([0-9]*)  $name\$"
[ -e "/dev/shm/mp.$name" ] || { echo 'a dry run removed it' >&2; status=1; }
expect 0 gc --json
shows out "{\"name\":\"$name\",\"kind\":\"block\",\"bytes\":[0-9]*,.*\"removed\":false}"
expect 0 gc --remove --json
shows out "{\"name\":\"$name\",.*\"removed\":true}"
[ ! -e "/dev/shm/mp.$name" ] || { echo 'it was not removed' >&2; status=1; }
expect 0 gc
if grep -q "$name" "$work/out"; then
  echo 'it is still listed' >&2
  status=1
fi
"$mpctl" --help > /dev/full 2> /dev/null && { echo 'a full disk is no success' >&2; status=1; }
exit $status
