#!/bin/sh
# Runs last, after every other test: nothing of theirs may be left.
# What was there before them stands in leaks.before, written by `make check` first thing.
set -eu
status=0

left() {
  ls /dev/shm 2>/dev/null | sed 's/^/shm /'
  ls -d /tmp/mp-* /tmp/managerd* 2>/dev/null | sed 's/^/file /' || true
  # Programs of this build; and zombies of that name, which have no program any more. Those that
  # were left to init are init's to reap, which takes its time.
  for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    name=$(cat "$dir/comm" 2>/dev/null || true)
    case $(readlink "$dir/exe" 2>/dev/null || true) in
    "$top_builddir"/*) echo "process $pid $name" ;;
    '')
      case $name in
      managerd* | test_* | Process-* | Pool-*)
        awk '/^State:/ { zombie = $2 == "Z" } /^PPid:/ { left = $2 == 1 }
          END { exit !(zombie && !left) }' "$dir/status" 2>/dev/null &&
          echo "zombie $pid $name"
        ;;
      esac
      ;;
    esac
  done
  grep -F "$top_builddir" /proc/net/unix 2>/dev/null | awk '{ print "socket", $8 }' || true
}

if [ "${1-}" = --before ]; then
  left | sort -u
  exit 0
fi
# What ends by itself soon is no leak: a daemon that has just noticed the death of its owner, a
# killed process that the kernel is still taking apart.
tries=60
while [ $tries -gt 0 ]; do
  tries=$((tries - 1))
  left | sort -u > leaks.after
  comm -13 leaks.before leaks.after > leaks.new || status=1
  [ -s leaks.new ] || break
  sleep 1
done
if [ -s leaks.new ]; then
  echo "leaks.sh: left behind by the tests:" >&2
  cat leaks.new >&2
  status=1
fi
rm -f leaks.after leaks.new
exit $status
