#!/bin/sh
# tests/python_table.sh: mp-python-table(7) has a row for each name of Python's in tests/python-names,
# each row says something, and what it names exists.
set -eu
top=${top_srcdir:-$(dirname "$0")/..}
page=$top/man/mp-python-table.7
names=$top/tests/python-names
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# complain WHAT: the lines of standard input are wrong.
complain() {
  echo "$1:" >&2
  cat >&2
  status=1
}

# The rows, and the names, in their order and each once.
sed -n 's/^\.It \([A-Z][A-Z][0-9]*\) \(.*\)$/\1	\2/p' "$page" | sed 's/\\e/\\/g' > "$work/rows"
if ! diff "$names" "$work/rows" > "$work/difference"; then
  complain 'rows and names differ' < "$work/difference"
fi
cut -f 1 "$names" | sort | uniq -d > "$work/twice"
[ ! -s "$work/twice" ] || complain 'a number that stands twice' < "$work/twice"
expected=345
[ "$(wc -l < "$names")" -eq $expected ] || complain "not $expected names" < /dev/null

# A row that says nothing: two .It without a line between them.
awk '/^\.(It|El)/ { if (last) print last; last = "" } /^\.It/ { last = $0; next } { last = "" }' \
  "$page" > "$work/empty"
[ ! -s "$work/empty" ] || complain 'a row without a text' < "$work/empty"

# What the pages for Python programmers call by name is exported or stands in a header. Tags are
# Python's names.
sed -n 's/^[	 ]*\(mp_[a-z0-9_]*\);.*/\1/p' "$top/libmp.map" > "$work/known"
cat "$top"/include/mp/*.h | grep -o '[mM][pP]_[A-Za-z0-9_]*' >> "$work/known"
sort -u -o "$work/known" "$work/known"
for p in "$page" "$top/man/mp-python.7"; do
  sed '/^\.It/d; /^\.\\"/d' "$p" | grep -o '\<\(mp_[a-z0-9_]*\|MP_[A-Z0-9_]*\)' | sort -u |
    comm -23 - "$work/known" > "$work/unknown"
  [ ! -s "$work/unknown" ] || complain "$p: no such name" < "$work/unknown"
done
exit $status
