#!/bin/sh
# How the library and the programs were linked: SECURITY.md says what is to be seen here.
#
# tests/hardening.sh FILE...: of a package, whose flags ask for all there is. packaging/build-deb does that.
set -u
command -v readelf > /dev/null || exit 77
status=0
if [ $# -gt 0 ]; then
  flags="-fstack-protector-strong -D_FORTIFY_SOURCE"
else
  cd "$top_builddir" || exit 1
  flags=$(sed -n 's/^\(MP_CFLAGS\|CFLAGS\|CPPFLAGS\) = //p' Makefile)
  set -- .libs/libmp.so.*.*.* managerd/managerd managerd/.libs/managerd mpctl/mpctl mpctl/.libs/mpctl
fi

# need FILE WHAT PATTERN READELF-OPTION
need() {
  readelf -W "$4" "$1" | grep -qE "$3" || {
    echo "hardening.sh: $1 has no $2" >&2
    status=1
  }
}

seen=0
for file in "$@"; do
  # Some are scripts of libtool's.
  [ -f "$file" ] && [ "$(head -c 4 "$file" | tail -c 3)" = ELF ] || continue
  seen=$((seen + 1))
  need "$file" RELRO GNU_RELRO -l
  need "$file" BIND_NOW 'BIND_NOW|NOW' -d
  need "$file" 'stack that is no code' 'GNU_STACK.* RW ' -l
  ! readelf -W -l "$file" | grep -qE 'LOAD.* RWE ' || {
    echo "hardening.sh: $file has memory that is writable and code" >&2
    status=1
  }
  ! readelf -W -d "$file" | grep -qE 'TEXTREL' || {
    echo "hardening.sh: $file has relocations in its code" >&2
    status=1
  }
  case $flags in
  *-fstack-protector-strong*) need "$file" 'stack protector' '__stack_chk_fail' --symbols ;;
  esac
  # Without optimization there is none.
  case $flags in
  *-O0*) ;;
  *_FORTIFY_SOURCE*) need "$file" FORTIFY_SOURCE '__(memcpy|snprintf|vsnprintf|strcpy)_chk' --symbols ;;
  esac
  # Programs are PIE if what the compiler makes by itself is.
  case $file in
  *managerd | *mpctl)
    if echo '#ifndef __PIE__
#error none
#endif' | ${CC:-cc} -E - > /dev/null 2>&1; then
      need "$file" PIE 'Type: *DYN' -h
    fi
    ;;
  esac
done
[ $seen -gt 0 ] || exit 77
exit $status
