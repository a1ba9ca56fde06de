#!/bin/sh
# mp-crash(7) has every test point of the sources, and the tests that it names are there.
set -eu
page=$top_srcdir/man/mp-crash.7
status=0

for point in $(sh "$top_srcdir/tests/storm/points" "$top_srcdir/src" "$top_srcdir/managerd" | tr -d '",'); do
  grep -q "Li $point\( \|\$\)" "$page" || { echo "crash.sh: $point is not in mp-crash(7)" >&2; status=1; }
done
# .Pq suite: name, name; suite
sed -n '/^\.Ss Every instant/,/^\.Sh/s/^\.Pq \([a-z_]*\(:.*\)*.*\)$/\1/p' "$page" | tr ';,:' '\n\n\n' |
  tr -d ' ' | sort -u > crash.names
while read -r name; do
  case $name in
  '' | *[!a-z0-9_]*) continue ;;
  esac
  grep -qwE "$name" "$top_srcdir"/tests/test_*.c ||
    { echo "crash.sh: mp-crash(7) names a test $name" >&2; status=1; }
done < crash.names
rm -f crash.names
exit $status
