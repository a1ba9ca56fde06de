#!/bin/sh
# libmp.so exports what libmp.map names, all of it, and nothing else.
set -eu
lib=$top_builddir/.libs/libmp.so
[ -e "$lib" ] || exit 77
map=$(sed -n 's/^	\(mp_[a-z0-9_]*\);$/\1/p' "$top_srcdir/libmp.map" | sort)
[ "$map" = "$(echo "$map" | uniq)" ] || { echo "libmp.map names a symbol twice" >&2; exit 1; }
exported=$(nm -D --defined-only "$lib" | awk '$2 ~ /[TDBR]/ { sub(/@.*/, "", $3); print $3 }' | sort)
if [ "${MP_WITHOUT_MANAGER-}" ]; then
  map=$(echo "$map" | grep -v '^mp_\(manager\|dict\|proxy\|served\|counter\|list_\|namespace\|server\|obj_manager\|obj_dict\|obj_proxy\|obj_served\|call_many\|transact\)')
fi
declared=$(cat "$top_srcdir"/include/mp/*.h | tr '\n' ' ' |
  grep -o '\bmp_[a-z0-9_]* *(' | tr -d ' (' | sort -u)
status=0
for symbol in $map; do
  echo "$exported" | grep -qx "$symbol" || { echo "$symbol: in libmp.map, not in the library" >&2; status=1; }
  echo "$declared" | grep -qx "$symbol" || { echo "$symbol: in libmp.map, not in a header" >&2; status=1; }
done
for symbol in $exported; do
  echo "$map" | grep -qx "$symbol" || { echo "$symbol: exported, not in libmp.map" >&2; status=1; }
done
exit $status
