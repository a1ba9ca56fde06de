#!/bin/sh
# Every error code that a page documents is triggered by a test: each code under ERRORS of a page
# must stand in a test program that calls a function of that page. That a test means this code of
# this function no script can tell; that nobody ever tried, this one does.
set -eu
cd "$top_srcdir"
status=0

# What cannot be had on demand. PAGE:CODE, and why.
excepted='
mp_process_children:ENFILE the limit is that of the whole machine
mp_process_new:ENFILE
mp_timer_new:ENFILE
'

injected=$(sed -n '/^#define CALLS/,/^$/p' tests/support/fail.c | grep -o '\bE[A-Z]*\b' | sort -u |
  sed 's/^/-/' | tr '\n' ' ')

for page in man/*.3; do
  [ "$(head -c 4 "$page")" = ".so " ] && continue
  name=$(basename "$page" .3)
  [ "$name" = mp_strerror ] && continue # explains the codes of all others
  functions=$(sed -n 's/^\.Nm \(mp_[a-z0-9_]*\).*/\1/p' "$page" | tr '\n' '|')
  codes=$(sed -n '/^\.Sh ERRORS/,/^\.Sh [^E]/s/^\.It D[vr]//p' "$page" | grep -o -- '-E[A-Z0-9]*' | sort -u)
  [ -n "$codes" ] || continue
  callers=$(grep -lE "\\b(${functions%|}) ?\\(" tests/*.c)
  for code in $codes; do
    case $excepted in *"
$name:${code#-}"[[:space:]]*) continue ;; esac
    # The tests of faults let calls below fail with these, and want them documented.
    case $injected in *"$code "*) grep -qE "\\b(${functions%|}) ?\\(" tests/test_faults_*.c && continue ;; esac
    # shellcheck disable=SC2086
    grep -q -- "$code\\b" $callers /dev/null || {
      echo "errors.sh: $page documents $code, which no test of its functions expects" >&2
      status=1
    }
  done
done
exit $status
