#!/bin/sh
# mpctl: what it prints and how it ends.
set -eu
. "$top_srcdir/tests/support/mpctl.sh"
maker=$top_builddir/tests/leave_block
name=mpctl-$$
trap 'mpctl_end; rm -f "/dev/shm/mp.$name"' EXIT

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

# Who leaves things there, or removes them, is alone: as in tests/support/support.h.
exec 9< /dev/shm
flock 9
"$maker" "$name" 9<&- || true
expect 0 gc
shows out "leave_block ([0-9]*)  $name\$"
[ -e "/dev/shm/mp.$name" ] || wrong 'a dry run removed it'
expect 0 gc --json
shows out "{\"name\":\"$name\",\"kind\":\"block\",\"bytes\":[0-9]*,.*\"removed\":false}"
expect 0 gc --remove --json
shows out "{\"name\":\"$name\",.*\"removed\":true}"
[ ! -e "/dev/shm/mp.$name" ] || wrong 'it was not removed'
expect 0 gc
if grep -q "$name" "$work/out"; then
  wrong 'it is still listed'
fi
if "$mpctl" --help > /dev/full 2> /dev/null; then
  wrong 'a full disk is no success'
fi
"$mpctl" --help 2> "$work/err" | true
[ ! -s "$work/err" ] || wrong "who reads no further is told off: $(cat "$work/err")"

expect 0 help gc
shows out '--remove'
expect 2 help nonsense
shows err 'no command nonsense'
expect 2 "$(printf 'a\033b')"
shows err 'a\\x1bb'
expect 1 locks 999999999
exit $status
