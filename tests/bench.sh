#!/bin/sh
# mpbench: the shape of what it writes, never how fast anything was.
mpbench=${top_builddir:-.}/bench/mpbench
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

die() {
  echo "bench.sh: $*" >&2
  exit 1
}

[ -x "$mpbench" ] || {
  echo "mpbench was not built: jansson is missing" >&2
  exit 77
}

"$mpbench" --list >"$dir/list" || die "--list: status $?"
grep -q '^obj_roundtrip  *op/s  *.*floor' "$dir/list" || die "--list: no obj_roundtrip"
"$mpbench" --help | grep -q '^usage: mpbench' || die "--help: no usage"

"$mpbench" no_such_row >"$dir/out" 2>"$dir/err"
[ $? -eq 2 ] || die "an unknown name: not status 2"
[ ! -s "$dir/out" ] || die "an unknown name: something on standard output"
grep -q 'no_such_row' "$dir/err" || die "an unknown name: it is not said which"
grep -q '^obj_roundtrip' "$dir/err" || die "an unknown name: the names are not listed"
for rounds in 0 -1 x 1001 ''; do
  "$mpbench" --rounds "$rounds" obj_roundtrip >/dev/null 2>&1
  [ $? -eq 2 ] || die "--rounds '$rounds': not status 2"
done

"$mpbench" --json --rounds 1 obj_roundtrip >"$dir/json" || die "obj_roundtrip: status $?"
shape='^{"name":"obj_roundtrip","who":"[a-z]*","value":[0-9.e+]*,"unit":"op/s"}$'
[ "$(grep -vc "$shape" "$dir/json")" -eq 0 ] || die "not one result a line: $(cat "$dir/json")"
for who in libmp floor jansson; do
  [ "$(grep -c "\"who\":\"$who\"" "$dir/json")" -eq 1 ] || die "no result of $who"
done

"$mpbench" --svg "$dir/svg" <"$dir/json" || die "--svg: status $?"
grep -q '<svg ' "$dir/svg" && grep -q '>libmp<' "$dir/svg" || die "--svg: no picture"
echo '{"name":"x"}' | "$mpbench" --svg "$dir/svg" 2>/dev/null && die "--svg: took what is no result"

# A peer that is not there is named and skipped, and that is no failure.
PATH=/nowhere "$mpbench" --json --rounds 1 obj_roundtrip >"$dir/json" 2>"$dir/err" ||
  die "without python3: status $?"
grep -q 'skipping cpython: cannot run python3' "$dir/err" || die "cpython's absence is not said"
grep -q '"who":"cpython"' "$dir/json" && die "a result of a peer that is not there"
exit 0
