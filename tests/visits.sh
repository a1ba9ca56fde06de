#!/bin/sh
# The main job as a user meets it: results, start methods, workers, errors, many files.
set -eu
visits=$top_builddir/examples/visits
data=$top_srcdir/examples/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
  echo "visits.sh: $*" >&2
  exit 1
}

# expect STATUS COMMAND...: run it, its output in $work/out and $work/err.
expect() {
  wanted=$1
  shift
  status=0
  "$@" > "$work/out" 2> "$work/err" < /dev/null || status=$?
  [ $status -eq "$wanted" ] || die "$*: exit status $status: $(cat "$work/err")"
}

table='FILE              TOTAL         IP
20210322.log         60         16
20210323.log         48         11
20210324.log         72         20'
json='{"20210322.log": {"total": 60, "ip": 16}, "20210323.log": {"total": 48, "ip": 11}, "20210324.log": {"total": 72, "ip": 20}}'

expect 0 "$visits"
[ "$(cat "$work/out")" = "$table" ] || die "table: $(cat "$work/out")"
[ ! -s "$work/err" ] || die "no terminal, but on stderr: $(cat "$work/err")"

for method in fork spawn forkserver; do
  for workers in 1 8; do
    expect 0 "$visits" --start-method $method --workers $workers --json "$data"/*.log
    [ "$(cat "$work/out")" = "$json" ] || die "$method, $workers workers: $(cat "$work/out")"
  done
done

# What cannot be read is named, the rest is counted.
printf '\n  \n1.2.3.4 - - [x]\n1.2.3.4, 5.6.7.8 - - [y]\n\n9.9.9.9' > "$work/odd.log"
: > "$work/empty.log"
expect 1 "$visits" --json "$work/absent.log" "$work/odd.log" "$work" "$work/empty.log"
[ "$(cat "$work/out")" = '{"odd.log": {"total": 3, "ip": 2}, "empty.log": {"total": 0, "ip": 0}}' ] ||
  die "$(cat "$work/out")"
grep -q "absent.log: No such file" "$work/err" || die "absent.log is not named"
grep -q "$work: Is a directory" "$work/err" || die "the directory is not named"

# Logs of the same name in two places are told apart.
mkdir "$work/a" "$work/b"
cp "$data/20210322.log" "$work/a/x.log"
cp "$data/20210323.log" "$work/b/x.log"
expect 0 "$visits" --json "$work/a/x.log" "$work/b/x.log"
[ "$(cat "$work/out")" = "{\"$work/a/x.log\": {\"total\": 60, \"ip\": 16}, \"$work/b/x.log\": {\"total\": 48, \"ip\": 11}}" ] ||
  die "$(cat "$work/out")"

# 2,000 files in one run, under each start method.
mkdir "$work/many"
i=0
while [ $i -lt 2000 ]; do
  printf '10.0.0.%d - - [x]\n10.0.0.1 - - [y]\n' $((i % 250)) > "$work/many/$i.log"
  i=$((i + 1))
done
for method in fork spawn forkserver; do
  expect 0 "$visits" --start-method $method --workers 8 --json "$work"/many/*.log
  [ "$(grep -o '"total": 2' "$work/out" | wc -l)" -eq 2000 ] || die "2,000 files by $method"
done

# A managerd that runs already keeps the results of both runs.
mkfifo "$work/ready"
"$MP_MANAGERD" --listen "unix:$work/m.sock" --ready-fd 3 3> "$work/ready" &
daemon=$!
read -r _ < "$work/ready" || true # closed, or a line: either way it has spoken
expect 0 "$visits" --manager "unix:$work/m.sock" "$data/20210322.log"
expect 0 "$visits" --manager "$work/m.sock" --json "$data/20210323.log"
[ "$(cat "$work/out")" = '{"20210323.log": {"total": 48, "ip": 11}}' ] || die "$(cat "$work/out")"
kill $daemon
wait $daemon || die "managerd ended with status $?"

# Wrong usage.
expect 0 "$visits" --help
grep -q -- --start-method "$work/out" || die "--help says nothing"
for wrong in --workers=0 --workers=many --workers=1001 --start-method=thread --nonsense; do
  expect 2 "$visits" "$wrong"
  [ -s "$work/err" ] || die "$wrong: no message"
done
expect 1 "$visits" --manager "unix:$work/nobody.sock"
grep -q nobody.sock "$work/err" || die "the address is not named"
expect 1 "$visits" --manager tcp:nonsense

# The bar shows on a terminal and is gone at the end.
if command -v script > /dev/null 2>&1; then
  script -qec "$visits $data/*.log" /dev/null > "$work/terminal" < /dev/null
  grep -q '3/3' "$work/terminal" || die "no progress bar on a terminal"
fi
