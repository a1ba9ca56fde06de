#!/bin/sh
# mp.hpp compiles in C++17 and later, alone and part by part, without exceptions and run-time types too,
# by every C++ compiler of this machine; and its tests pass when another compiler than $CXX made them.
set -eu
: "${CXX:=c++}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
flags="-I$top_srcdir/include -Wall -Wextra -Wshadow -pedantic -Werror"

# takes COMPILER FLAG...: does it compile nothing at all?
takes() {
  echo 'int nothing;' | "$@" -x c++ -fsyntax-only - 2> /dev/null
}

found=
for compiler in $CXX g++ clang++; do
  case " $found " in *" $compiler "*) continue ;; esac
  takes "$compiler" -std=c++17 || continue
  found="$found $compiler"
  for language in -std=c++17 -std=c++20 "-std=c++17 -fno-exceptions -fno-rtti"; do
    # shellcheck disable=SC2086
    takes "$compiler" $language || continue
    # shellcheck disable=SC2086
    printf '#include <mp.hpp>\n#include <mp.hpp>\n' |
      "$compiler" $flags $language -x c++ -fsyntax-only - ||
      { echo "mp.hpp: $compiler $language does not compile it" >&2; status=1; }
    # shellcheck disable=SC2086
    "$compiler" $flags $language -x c++ -fsyntax-only - << 'END' ||
#include <mp.hpp>
#if defined(__cpp_lib_span) && defined(__cpp_lib_concepts)
#include <span>
int sum(mp::array<int> &array, mp::queue &queue, std::span<const unsigned char> data)
{
	std::span<int> all = array.items();
	mp::span<const int> again = all;
	return queue.put_bytes(data) ? again[0] + all[1] : 0;
}
#endif
END
      { echo "mp.hpp: $compiler $language: std::span is not like mp::span" >&2; status=1; }
  done
done
[ -n "$found" ] || exit 77
set -- $found
for part in "$top_srcdir"/include/mp/hpp/*.hpp; do
  name=${part#"$top_srcdir"/include/}
  guard=$(echo "$name" | sed 's/^mp.hpp./MP_HPP_/' | tr 'a-z.' 'A-Z_')
  grep -q "^#ifndef $guard\$" "$part" || { echo "$name: no guard $guard" >&2; status=1; }
  grep -q "^#include <$name>\$" "$top_srcdir/include/mp.hpp" || { echo "$name: not in mp.hpp" >&2; status=1; }
  # shellcheck disable=SC2086
  echo "#include <$name>" | "$1" $flags -std=c++17 -x c++ -fsyntax-only - ||
    { echo "$name: does not compile alone" >&2; status=1; }
done

# A captured variable is found by the compiler, with the reason.
cat > "$work/captures.cc" << 'END'
#include <mp.hpp>
void f(mp::pool &pool, int n) { (void)pool.submit([n] { return n; }); }
END
if "$1" $flags -std=c++17 -fsyntax-only "$work/captures.cc" 2> "$work/said"; then
  echo "a task with captures compiles" >&2
  status=1
fi
grep -q 'runs in another process' "$work/said" || { cat "$work/said" >&2; status=1; }

# $1 made tests/test_hpp; sanitizers of one compiler are not those of another.
if [ $# -gt 1 ] && ! grep -q '^MP_SANITIZE = .*-fsanitize' "$top_builddir/Makefile"; then
  "$2" -std=c++17 $flags -I"$top_builddir" -I"$top_srcdir" "$top_srcdir"/tests/test_hpp*.cc -o "$work/test_hpp" \
    "$top_builddir/.libs/libmp.so" -Wl,-rpath,"$top_builddir/.libs" -pthread
  "$work/test_hpp" --tap="$work/report" < /dev/null || { grep '^not ok' "$work/report" >&2; status=1; }
fi
exit $status
