#!/bin/sh
# What the packages say about the library is so.
set -eu
cd "$top_srcdir"
status=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  echo "packaging.sh: $*" >&2
  status=1
}

# The symbols file of Debian names what libmp.map names, the node included.
sh packaging/debian-symbols libmp.map > "$work/symbols"
sed -n 's/^	\(mp_[a-z0-9_]*\);$/\1/p' libmp.map | sort > "$work/map"
sed -n 's/^ \(mp_[a-z0-9_]*\)@MP_[0-9.]* [0-9.]*$/\1/p' "$work/symbols" | sort > "$work/named"
diff "$work/map" "$work/named" >&2 || fail "packaging/debian-symbols leaves something out"
lib=$top_builddir/.libs/libmp.so
if [ -e "$lib" ]; then
  soname=$(objdump -p "$lib" | awk '$1 == "SONAME" { print $2 }')
  grep -q "^$soname libmp${soname##*.} " "$work/symbols" || fail "the library is $soname"
  grep -q "^Package: libmp${soname##*.}\$" packaging/debian/control || fail "no package for $soname"
fi

version=$(sed -n 's/^#define PACKAGE_VERSION "\(.*\)"/\1/p' "$top_builddir/config.h")
grep -q "^libmp ($version-" packaging/debian/changelog || fail "debian/changelog is not about $version"
grep -q "^Version: *$version\$" packaging/libmp.spec || fail "libmp.spec is not about $version"

# Each unit is in both kinds of packages: Debian's take the whole directory.
for unit in units/*.socket units/*.service.in; do
  grep -q "^%{_unitdir}/$(basename "$unit" .in)\$" packaging/libmp.spec || fail "libmp.spec has no $unit"
done
# So is what is built with; the tests and the benchmarks need more.
for module in $(sed -n 's/.*PKG_CHECK_MODULES(\[[A-Z_]*\], \[\([a-z-]*\).*/\1/p' configure.ac |
  grep -vE '^(criterion|hiredis|libzmq)$'); do
  grep -q "^BuildRequires: *pkgconfig($module)\$" packaging/libmp.spec || fail "libmp.spec has no $module"
  grep -q "^ \(lib\)\{0,1\}${module#lib}-dev,\$" packaging/debian/control || fail "debian/control has no $module"
done
if command -v rpmspec > /dev/null 2>&1; then
  rpmspec -P packaging/libmp.spec > "$work/spec" 2> "$work/errors" || fail "libmp.spec: $(cat "$work/errors")"
fi

exit $status
