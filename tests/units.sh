#!/bin/sh
# What `make install` gives systemd: the files are right, and the sandbox stays as tight as it is.
# The highest exposure that is allowed, times ten, of `systemd-analyze security`; managerd(8) tells it.
exposure=5
set -eu
[ -n "${MP_MANAGERD:-}" ] && [ -x "$MP_MANAGERD" ] || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

fail() {
  echo "units.sh: $*" >&2
  status=1
}

# Every option of the file as it is shipped is one.
# Its group is made with the installation only.
sed 's/^socket-group = managerd/socket-group = 0/' "$top_srcdir/units/managerd.conf" > "$work/some.conf"
"$MP_MANAGERD" --check-config --config "$work/some.conf" || fail "managerd.conf"
sed -e 's/^#\([a-z-]* =\)/\1/' -e 's/^#\[/[/' -e 's/group:managerd/group:0/' "$work/some.conf" > "$work/all.conf"
"$MP_MANAGERD" --check-config --config "$work/all.conf" || fail "managerd.conf, the defaults"

grep -q "@[a-z]*dir@" "$top_builddir/units/managerd.service" && fail "managerd.service is not finished"
# The program of the build stands where the installed one will.
for unit in managerd.service.in managerd.socket managerd-metrics.socket; do
  sed -e "s|@bindir@/managerd|$MP_MANAGERD|" -e 's|@sysconfdir@|/etc|' \
    "$top_srcdir/units/$unit" > "$work/${unit%.in}"
done
cd "$work"
if command -v systemd-analyze > /dev/null 2>&1; then
  # It complains about units of the machine too, which are not ours to mend.
  systemd-analyze verify --man=no ./managerd.service ./managerd.socket ./managerd-metrics.socket > verify 2>&1 || status=1
  if grep -i managerd verify >&2; then
    fail "systemd-analyze verify complains"
  fi
  if systemd-analyze --help | grep -q -e --offline; then
    systemd-analyze security --offline=yes --threshold=$exposure ./managerd.service \
      > security 2>&1 || { cat security >&2; fail "the sandbox has become worse"; }
  fi
fi
if command -v systemd-sysusers > /dev/null 2>&1 && systemd-sysusers --help | grep -q -e --root; then
  mkdir -p root/etc
  systemd-sysusers --root="$work/root" "$top_srcdir/units/managerd.sysusers" 2> sysusers ||
    { cat sysusers >&2; fail "systemd-sysusers"; }
  grep -q '^managerd:' root/etc/passwd && grep -q '^managerd:' root/etc/group || fail "no user managerd"
fi
if [ "$(id -u)" -eq 0 ] && [ -e root/etc/passwd ] && command -v systemd-tmpfiles > /dev/null 2>&1; then
  systemd-tmpfiles --create --root="$work/root" "$top_srcdir/units/managerd.tmpfiles" ||
    fail "systemd-tmpfiles"
  [ "$(stat -c %a root/run/managerd)" = 750 ] || fail "the directory /run/managerd"
fi
exit $status
