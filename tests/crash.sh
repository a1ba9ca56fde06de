#!/bin/sh
# mp-crash(7) has a row for every test point of the sources, each by its name; the tests that the row
# names are there, and one of their files dies at that point.
set -euf
page=$top_srcdir/man/mp-crash.7
status=0

complain() {
  echo "crash.sh: $*" >&2
  status=1
}

# "POINT FILE,FILE...": what a row says behind .Pq is "file: test, test; file"
sed -n '/^\.Ss Every instant/,/^\.Sh/p' "$page" | awk '
  /^\.It Li/ {
    gsub(/^\.It|Li|,/, " ")
    points = $0
  }
  /^\.Pq/ && points != "" {
    sub(/^\.Pq /, "")
    files = ""
    n = split($0, parts, /; */)
    for (i = 1; i <= n; i++) {
      sub(/:.*/, "", parts[i])
      files = files (files == "" ? "" : ",") parts[i]
    }
    n = split(points, each, " ")
    for (i = 1; i <= n; i++)
      print each[i], files
    points = ""
  }' > crash.rows

for point in $(sh "$top_srcdir/tests/storm/points" "$top_srcdir/src" "$top_srcdir/managerd" | tr -d '",'); do
  files=$(awk -v point="$point" '$1 == point { print $2 }' crash.rows)
  if [ -z "$files" ]; then
    complain "$point is not in mp-crash(7)"
    continue
  fi
  killed=
  for file in $(echo "$files" | tr ',' ' '); do
    [ -f "$top_srcdir/tests/test_$file.c" ] || complain "mp-crash(7) names tests/test_$file.c, which is not there"
    if grep -qF "\"$point\"" "$top_srcdir/tests/test_$file.c" 2> /dev/null; then
      killed=yes
    fi
  done
  [ "$killed" ] || complain "no test dies at $point, of those that mp-crash(7) names: $files"
done
while read -r point _; do
  grep -rqF --include='*.[ch]' "MP__TEST_POINT(\"$point\")" "$top_srcdir/src" "$top_srcdir/managerd" ||
    complain "mp-crash(7) has a row for $point, which is gone"
done < crash.rows

# .Pq suite: name, name; suite
sed -n '/^\.Ss Every instant/,/^\.Sh/s/^\.Pq \([a-z_]*\(:.*\)*.*\)$/\1/p' "$page" | tr ';,:' '\n\n\n' |
  tr -d ' ' | sort -u > crash.names
while read -r name; do
  case $name in
  '' | *[!a-z0-9_]*) continue ;;
  esac
  grep -rqwE --include="test_*.c" "$name" "$top_srcdir/tests" || [ -f "$top_srcdir/tests/test_$name.c" ] ||
    complain "mp-crash(7) names a test $name"
done < crash.names
rm -f crash.names crash.rows
exit $status
