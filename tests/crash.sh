#!/bin/sh
# mp-crash(7) has every test point of the sources, and the tests that it names are there.
set -euf
page=$top_srcdir/man/mp-crash.7
status=0

all=$(sed -n '/^\.It Li/s/\.It\|Li\|,//gp' "$page")
for point in $(sh "$top_srcdir/tests/storm/points" "$top_srcdir/src" "$top_srcdir/managerd" | tr -d '",'); do
  found=
  for listed in $all; do
    case $point in
    $listed) found=1 && break ;;
    esac
  done
  [ "$found" ] || { echo "crash.sh: $point is not in mp-crash(7)" >&2; status=1; }
done
# .Pq suite: name, name; suite
sed -n '/^\.Ss Every instant/,/^\.Sh/s/^\.Pq \([a-z_]*\(:.*\)*.*\)$/\1/p' "$page" | tr ';,:' '\n\n\n' |
  tr -d ' ' | sort -u > crash.names
while read -r name; do
  case $name in
  '' | *[!a-z0-9_]*) continue ;;
  esac
  grep -rqwE --include="test_*.c" "$name" "$top_srcdir/tests" ||
    { echo "crash.sh: mp-crash(7) names a test $name" >&2; status=1; }
done < crash.names
rm -f crash.names
exit $status
