#!/bin/sh
# mpctl watch, queue put and get, lock, unlock: scripts that wait for each other.
set -eu
. "$top_srcdir/tests/support/mpctl.sh"
start_daemon

# lines FILE: how many there are.
lines() {
  wc -l < "$1" | tr -d ' '
}
has_lines() {
  [ "$(lines "$1")" -ge "$2" ]
}
# is_waiting N: so many calls wait in the daemon.
is_waiting() {
  [ "$("$mpctl" stats waiters | awk '{print $2}')" -eq "$1" ]
}

# --- watch

expect 0 set v 1
"$mpctl" watch --now --count 2 v > "$work/watched" &
watcher=$!
until_true has_lines "$work/watched" 1
until_true is_waiting 1
expect 0 set v 2
wait $watcher || wrong 'watch --count 2 has failed'
[ "$(tr '\n' ' ' < "$work/watched")" = '1 2 ' ] || wrong "watched: $(cat "$work/watched")"

# Under a key: others do not count, and nothing is null.
expect 0 set d a 1
"$mpctl" watch --json --count 2 d a > "$work/watched" &
watcher=$!
until_true is_waiting 1
expect 0 set d b 1
until_true is_waiting 1
expect 0 set d a 2
until_true has_lines "$work/watched" 1
until_true is_waiting 1
expect 0 del d a
wait $watcher || wrong 'watch of a key has failed'
[ "$(tr '\n' ' ' < "$work/watched")" = '2 null ' ] || wrong "watched: $(cat "$work/watched")"

expect 4 watch --timeout 0.01 v
expect 4 watch --timeout 0 v
expect 1 watch nobody
expect 2 watch v key
expect 2 watch --count 0 v
expect 2 watch --count many v

# --- queues

expect 0 queue put q 1 two '[3]'
prints 1 queue get q
prints two queue get q
prints '[3]' queue get --json q
expect 4 queue get --timeout 0 q
expect 4 queue get --timeout 0.01 q
printf 'a\nb\n\n' | "$mpctl" queue put q - || wrong 'queue put -'
prints "$(printf 'a\nb')" queue get --count 2 q
prints '""' queue get --json q
printf '{"a": 1}\n{"a"\n' | expect 2 queue put q -
prints '{"a": 1}' queue get q

# Whoever comes first makes it, and waits.
"$mpctl" queue get new > "$work/got" &
getter=$!
until_true is_waiting 1
prints '{"ok": true}' queue put --json new 'for you'
wait $getter || wrong 'queue get has failed'
[ "$(cat "$work/got")" = 'for you' ] || wrong "got: $(cat "$work/got")"

expect 0 queue put --maxsize 2 small 1 2
expect 4 queue put --timeout 0 small 3
expect 4 queue put --timeout 0.01 small 3
prints 2 get small
"$mpctl" queue put small 3 &
putter=$!
until_true is_waiting 1
prints 1 queue get small
wait $putter || wrong 'queue put has failed'
expect 0 queue put --order lifo pile a b
prints b queue get pile
expect 0 queue put --order priority --priority 5 urgent later
expect 0 queue put --priority -1 urgent now
prints now queue get urgent
expect 6 queue put --priority 1 q x
expect 2 queue put --order random other x
expect 2 queue put --maxsize 0 other x
expect 2 queue put q
expect 2 queue
shows err 'no command queue; there is queue get and queue put'
expect 2 queue len q
expect 6 queue get v
expect 0 help queue put
shows out 'usage: mpctl queue put'
expect 0 queue get --help
shows out 'usage: mpctl queue get'

# Who waits for what can never come is told.
"$mpctl" queue get q 2> "$work/told" &
getter=$!
until_true is_waiting 1
expect 0 call q shutdown
code=0
wait $getter || code=$?
[ $code -eq 1 ] || wrong "a getter of a queue that was shut down ended with $code"
expect 1 queue put q x

# --- lock with a command

expect 0 lock l true
expect 3 lock l sh -c 'exit 3'
expect 143 lock l sh -c 'kill -TERM $$'
expect 127 lock l "$work/nothing"
shows err 'nothing: No such file'
expect 126 lock l "$work"
expect 2 lock
expect 2 lock --json= l true
expect 125 lock v true
"$mpctl" lock l printenv MPCTL_FENCE > "$work/one"
"$mpctl" lock l printenv MPCTL_FENCE > "$work/two"
[ "$(cat "$work/one")" -lt "$(cat "$work/two")" ] || wrong 'fences do not grow'
echo input | "$mpctl" lock l cat > "$work/out"
shows out input
expect 0 lock l "$mpctl" lock --timeout 10 other true
expect 124 lock l "$mpctl" lock --timeout 0 l true
expect 124 lock l "$mpctl" lock --timeout 0.01 l true
prints true lock l "$mpctl" get l
prints false get l

# Two at a time would lose some.
echo 0 > "$work/sum"
i=0
while [ $i -lt 8 ]; do
  "$mpctl" lock sum sh -c 'n=$(cat "$0"); sleep 0.01; echo $((n + 1)) > "$0"' "$work/sum" &
  i=$((i + 1))
  adders="${adders:-} $!"
done
for adder in $adders; do
  wait "$adder" || wrong 'one of those who add has failed'
done
[ "$(cat "$work/sum")" -eq 8 ] || wrong "the sum is $(cat "$work/sum")"

# Killed, with its command; the next one hears of it.
mkfifo "$work/hold"
"$mpctl" lock l sh -c 'echo $$ > "$0.pid.new"; mv "$0.pid.new" "$0.pid"; read x < "$0"' "$work/hold" &
holder=$!
until_true [ -e "$work/hold.pid" ]
command=$(cat "$work/hold.pid")
kill -KILL $holder
wait $holder 2> /dev/null || true
expect 0 lock l printenv MPCTL_OWNER_DIED
shows out 1
shows err 'died with it'
expect 1 lock l printenv MPCTL_OWNER_DIED
until_true ended "$command"

# What is sent to mpctl is for the command.
rm "$work/hold.pid"
"$mpctl" lock l sh -c 'trap "exit 7" TERM; echo $$ > "$0.new"; mv "$0.new" "$0"; while :; do sleep 0.02; done' \
  "$work/hold.pid" &
holder=$!
until_true [ -e "$work/hold.pid" ]
expect 6 unlock l
shows err 'has to release it itself'
kill -TERM $holder
code=0
wait $holder || code=$?
[ $code -eq 7 ] || wrong "the command's exit code was $code"
prints false get l

# What the caller ignores, the command does; mpctl sees the end of a command whatever it ignores.
code=0
env --ignore-signal=HUP "$mpctl" lock l sh -c 'kill -HUP $$' || code=$?
[ $code -eq 0 ] || wrong "a command that was to ignore SIGHUP ended with $code"
code=0
env --ignore-signal=CHLD "$mpctl" lock l sh -c 'exit 3' || code=$?
[ $code -eq 3 ] || wrong "with SIGCHLD ignored the exit code was $code, not 3"

# --- lock and unlock

fence=$("$mpctl" lock l)
[ "$fence" -gt 0 ] || wrong "lock l printed $fence"
prints true get l
expect 4 lock --timeout 0 l
expect 4 lock --timeout 0.01 l
expect 0 unlock l
prints false get l
expect 1 unlock l
shows err 'nobody has l'
expect 1 unlock nobody
expect 6 unlock v
expect 0 lock --json l
is_json
prints '{"ok": true}' unlock --json l
# Whoever releases in the usual way has not died.
expect 0 lock l true
if grep -q died "$work/err"; then
  wrong 'unlock is no death'
fi

# It ends with the script that has called it, and keeps none of its pipes open.
held=$(sh -c '"$1" lock l; "$1" get l' sh "$mpctl" | tail -n 1)
[ "$held" = true ] || wrong "in the script it was: $held"
is_free() {
  [ "$("$mpctl" get l)" = false ]
}
until_true is_free
# A keeper that is killed is a holder that died.
expect 0 lock --json l
keeper=$(sed 's/.*"pid": \([0-9]*\).*/\1/' "$work/out")
kill -KILL "$keeper"
expect 0 lock l printenv MPCTL_OWNER_DIED
shows out 1

# --- the daemon ends meanwhile

"$mpctl" queue get another 2> "$work/told" &
getter=$!
until_true is_waiting 1
expect 0 shutdown
code=0
wait $getter || code=$?
[ $code -eq 5 ] || wrong "who waited ended with $code: $(cat "$work/told")"
wait "$daemon" || wrong 'managerd did not end well'
daemon=
expect 125 lock l true
expect 5 lock l
exit $status
