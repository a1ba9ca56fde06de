#!/bin/sh
# proto/*.proto are all that a client in another language needs: one in Python, by Python's protobuf.
set -eu
python=/usr/bin/python3
[ -n "${MP_MANAGERD:-}" ] || exit 77
command -v protoc > /dev/null 2>&1 || exit 77
"$python" -c 'import google.protobuf' 2> /dev/null || exit 77

work=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon"; rm -rf "$work"' EXIT
protoc -I"$top_srcdir/proto" --python_out="$work" \
  "$top_srcdir/proto/manager.proto" "$top_srcdir/proto/value.proto"
# A protoc that is newer than Python's protobuf makes modules which that refuses.
PYTHONPATH="$work" "$python" -B -c 'import manager_pb2, value_pb2' 2> /dev/null || exit 77

mkfifo "$work/ready"
"$MP_MANAGERD" --listen "unix:$work/m.sock" --ready-fd 3 3> "$work/ready" &
daemon=$!
read -r _ < "$work/ready" || true # closed, or a line: either way it has spoken
"$python" -B "$top_srcdir/tests/client.py" "$work" "$work/m.sock"
kill "$daemon"
wait "$daemon"
daemon=

# The same with a key, unless this build has none.
umask 077
echo "a key for a test" > "$work/key"
"$MP_MANAGERD" --listen "unix:$work/m.sock" --ready-fd 3 --authkey-file "$work/key" \
  3> "$work/ready" 2> "$work/why" &
daemon=$!
read -r _ < "$work/ready" || true
if ! grep -q 'built without keys' "$work/why"; then
  "$python" -B "$top_srcdir/tests/client.py" "$work" "$work/m.sock" "a key for a test"
  kill "$daemon"
fi
wait "$daemon" || true
daemon=
