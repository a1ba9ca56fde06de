#!/bin/sh
# Every function of libmp.map has been called by the tests of faults, and each that asks anything of
# libc or the kernel was failed there. That is not read from the tests but seen by them: see
# tests/support/faults.h for what stands in tests/test_faults_*.calls.
set -eu
cd "$top_builddir"
status=0

complain() {
  echo "faults.sh: $*" >&2
  status=1
}

for source in "$top_srcdir"/tests/test_faults_*.c; do
  name=$(basename "$source" .c)
  [ -x "tests/$name" ] || continue # not of this build
  grep -q 'support/faults\|support/waits\|support/daemons' "$source" || continue # no functions of libmp.map
  [ -s "tests/$name.calls" ] || complain "tests/$name has not run: make check TESTS=tests/$name"
done
[ -n "$(ls tests/test_faults_*.calls 2> /dev/null)" ] || exit 77

# What this build has not.
missing=
[ -z "${MP_WITHOUT_MANAGER:-}" ] || missing='^mp_(manager|dict|list|namespace|proxy|served|server|counter|call_many|transact|obj_(manager|dict|proxy|served))'

sed -n 's/^\t\(mp_[a-z0-9_]*\);$/\1/p' "$top_srcdir/libmp.map" > faults.exported
awk '
  NR == FNR { exported[$1] = 1; next }
  { seen[$1] = 1; asked[$1] += $2; failed[$1] += $3 }
  END {
    for (name in exported)
      if (!(name in seen))
        print name, "is called by no test of faults"
      else if (asked[name] > 0 && failed[name] == 0)
        print name, "can fail, and no test lets it"
  }' faults.exported tests/test_faults_*.calls | sort > faults.missing
while read -r name what; do
  [ -n "$missing" ] && echo "$name" | grep -qE "$missing" && continue
  complain "$name $what"
done < faults.missing
awk '
  { seen[$1] = 1; failed[$1] += $3; failures += $3 }
  END {
    for (name in seen) {
      calls++
      n += failed[name] > 0
    }
    print "faults.sh:", calls, "functions called,", n, "of them failed,", failures, "failures"
  }' tests/test_faults_*.calls
rm -f faults.exported faults.missing
exit $status
