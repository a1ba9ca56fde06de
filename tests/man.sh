#!/bin/sh
# The manual: every page lints, every exported symbol has a page or a stub that leads to one, and
# that page names it; examples in pages are what examples/ holds.
set -eu
cd "$top_srcdir"
status=0
lint=$(mktemp)
trap 'rm -f "$lint"' EXIT

fail() {
  echo "man.sh: $*" >&2
  status=1
}

installed=$(grep -o 'man/[A-Za-z0-9_.-]*\.[1-8]' Makefile.am | tr '\n' ' ')
for page in man/*.[1-8]; do
  case " $installed " in *" $page "*) ;; *) fail "$page is not installed" ;; esac
  if [ "$(head -c 4 "$page")" = ".so " ]; then
    [ -e "man/$(sed -n 's/^\.so man[1-8]\///p' "$page")" ] || fail "$page leads nowhere"
    continue
  fi
  case $page in
  *.3) grep -q '^\.\\" example: examples/' "$page" || fail "$page has no program from examples/" ;;
  esac
  if command -v mandoc > /dev/null 2>&1; then
    # Pages refer to each other before they are installed.
    mandoc -T lint -W warning "$page" > "$lint" 2>&1 || true
    if grep -v 'referenced manual not found' "$lint" >&2; then
      fail "$page does not lint"
    fi
    # And what most people read with: lines that break nowhere spoil its tables.
    if command -v groff > /dev/null 2>&1 &&
      groff -mdoc -Tutf8 -rLL=78n "$page" 2>&1 > /dev/null | head -n 3 | grep . >&2; then
      fail "$page does not fit in 80 columns"
    fi
  fi
done

for symbol in $(sed -n 's/^	\(mp_[a-z0-9_]*\);$/\1/p' libmp.map); do
  page=man/$symbol.3
  if [ ! -e "$page" ]; then
    fail "$symbol has no page"
    continue
  fi
  target=$(sed -n 's/^\.so man3\//man\//p' "$page")
  grep -q "\.Nm $symbol\( ,\)\?$" "${target:-$page}" || fail "$symbol is not in NAME of ${target:-$page}"
  grep -q "\.F[no] \"\?\(.* \)\?$symbol" "${target:-$page}" ||
    fail "$symbol is not in SYNOPSIS of ${target:-$page}"
done

# The tables of names promise nothing that is not there.
for name in $(grep -o '\(Fn\|Xr\) mp_[a-z0-9_]*' man/mp.7 man/mp-python.7 man/mp-python-table.7 |
  sed 's/.* //' | sort -u); do
  case $name in mp_ | *_) continue ;; esac # a placeholder
  [ -e "man/$name.3" ] || fail "man/mp.7, man/mp-python.7 or man/mp-python-table.7 names $name, which has no page"
done

sh man/embed-examples --check || status=1

# mp(7) leads to every page of functions, and to every example that is in no page.
for page in man/*.3; do
  [ "$(head -c 4 "$page")" != ".so " ] || continue
  found=
  for name in "$(basename "$page" .3)" $(sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([A-Za-z0-9_]*\).*/\1/p' "$page"); do
    if grep -q "Xr $name 3" man/mp.7; then found=yes; fi
  done
  [ "$found" ] || fail "man/mp.7 does not lead to $page"
done
for example in examples/*.c examples/*.cc; do
  name=$(basename "$example" .c)
  grep -q "example: $example" man/*.[1-8] || grep -q "^\.It Pa $name\$" man/mp.7 ||
    fail "$example is in no page, and not in EXAMPLES of man/mp.7"
done

# As HTML, no link leads nowhere.
if command -v mandoc > /dev/null 2>&1; then
  html=$(mktemp -d)
  trap 'rm -rf "$lint" "$html"' EXIT
  sh man/html "$html"
  for link in $(grep -oh 'href="[^":#]\+["#]' "$html"/*.html | sed 's/href="//; s/.$//' | sort -u); do
    [ -s "$html/$link" ] || fail "the HTML pages lead to $link, which is not there"
  done
fi
exit $status
