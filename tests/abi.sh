#!/bin/sh
# The library still has everything that programs were compiled against: abi/libmp.abi. And the check
# sees it when it has not.
set -eu
lib=$top_builddir/.libs/libmp.so
abi=$top_srcdir/abi/libmp.abi
[ -e "$lib" ] && command -v python3 > /dev/null 2>&1 || exit 77
[ "$(getconf LONG_BIT)" = 64 ] || exit 77 # it describes the 64-bit one
[ -z "${MP_WITHOUT_MANAGER-}" ] || exit 77 # nor a part of the library
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
describe() {
  python3 "$top_srcdir/abi/describe" "$lib" "$top_srcdir/include" "$@"
}
describe --check "$abi" || exit 1

# sees MESSAGE SED-SCRIPT: a description made false by it is found to be so.
sees() {
  sed "$2" "$abi" > "$work/abi"
  if cmp -s "$abi" "$work/abi"; then
    echo "abi.sh: nothing to falsify: $2" >&2
    exit 1
  fi
  if describe --check "$work/abi" 2> "$work/said" || ! grep -q "$1" "$work/said"; then
    echo "abi.sh: not seen: $1" >&2
    cat "$work/said" >&2
    exit 1
  fi
}
sees 'function mp_gone is gone' 's/^function mp_version /function mp_gone /'
sees 'function mp_queue_put was' '/^function mp_queue_put /s/mp_obj/mp_obj */'
sees 'field mp_obj.block' '/^field mp_obj.block /s/[0-9]*$/16/'
sees 'struct mp_obj was' '/^struct mp_obj /s/[0-9]*$/40/'
sees 'struct mp_queue_options has become smaller' '/^struct mp_queue_options /s/[0-9]*$/9999/'
sees 'enumerator MP_TYPE_STR' '/^enumerator MP_TYPE_STR /s/[0-9]*$/99/'
sees 'its node MP_0.1 was released' 's/^release .*/release 0.1.0/; /^function mp_version /d'

# Additions break nobody.
sed '/^struct mp_queue_options /s/[0-9]*$/8/; s/^release .*/release none/; /^function mp_version /d' "$abi" > "$work/abi"
describe --check "$work/abi"
