#!/bin/sh
# Each public header compiles alone, in C and in C++, under the strictest flags a user may have, and
# has the guard that its path says.
set -eu
: "${CC:=cc}" "${CXX:=c++}"
status=0
for header in "$top_srcdir"/include/mp.h "$top_srcdir"/include/mp/*.h; do
  name=${header#"$top_srcdir"/include/}
  guard=$(echo "$name" | tr 'a-z/.' 'A-Z__')
  grep -q "^#ifndef $guard\$" "$header" || { echo "$name: no guard $guard" >&2; status=1; }
  for language in "c -std=c11 -pedantic" "c++ -std=c++11 -pedantic" "c++ -std=c++20"; do
    compiler=$CC
    case $language in c++*) compiler=$CXX ;; esac
    # shellcheck disable=SC2086
    printf '#include <%s>\n#include <%s>\nint alone;\n' "$name" "$name" |
      $compiler -I"$top_srcdir/include" -x $language -Wall -Wextra -Werror -fsyntax-only - ||
      { echo "$name: does not compile alone as $language" >&2; status=1; }
  done
done
exit $status
