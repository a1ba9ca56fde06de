#!/bin/sh
# mpctl ping, clients, stats, monitor, top, shutdown; the completion; output that nobody takes.
set -eu
. "$top_srcdir/tests/support/mpctl.sh"
start_daemon

# seen: something is, so what comes from now on will be.
seen() {
  "$mpctl" ping && [ -s "$work/seen" ]
}

# watch_requests OPTION...: monitor writes into $work/seen, which is empty first.
watch_requests() {
  rm -f "$work/seen"
  "$mpctl" monitor "$@" > "$work/seen" 2> "$work/told" &
  monitor=$!
  until_true seen
}

expect 0 ping
shows out 'managerd answers in [0-9.]* us'
expect 0 ping --json --count 3
is_json
[ "$(wc -l < "$work/out")" -eq 3 ] || wrong 'three pings are three lines'

expect 0 set d key 5
expect 0 clients
shows out 'PID .*PROGRAM .*UNREAD'
shows out "mpctl"
expect 0 clients --json
is_json
shows out '"self": true'

expect 0 stats
shows out '^connections  *1$'
shows out '^requests_total{operation="dict_set"}  *1$'
expect 0 stats 'objects*'
[ "$(wc -l < "$work/out")" -eq 2 ] || wrong "objects and objects_limit: $(cat "$work/out")"
expect 0 stats --json
is_json
shows out '"requests_total": \[{"operation": "'
expect 0 stats --json objects
[ "$(cat "$work/out")" = '{"objects": 1}' ] || wrong "one counter: $(cat "$work/out")"
prints '{}' stats --json nothing

# --- monitor

watch_requests --json
expect 0 set d bolts secret
expect 0 add hits 1
until_true grep -q '"method": "add", "class": "counter".*"name": "hits"' "$work/seen"
grep -q '"operation": "dict_set", "class": "dict", "object": 1, "name": "d", "key": "bolts"' "$work/seen" ||
  wrong "seen: $(cat "$work/seen")"
if grep -q 'secret' "$work/seen"; then
  wrong 'values are not shown'
fi
kill $monitor
wait $monitor 2> /dev/null || true
sed '$d' "$work/seen" > "$work/out" # the last line may not be whole
is_json
watch_requests --count 1
wait $monitor || wrong 'monitor --count 1 has failed'
# Of a program that has ended by the time it is looked up, the name is gone.
grep -q '^[0-9:]*\.[0-9]* [0-9]* ([^ ]*) [^ ]*: ' "$work/seen" || wrong "seen: $(cat "$work/seen")"
watch_requests
"$mpctl" watch d > "$work/out" &
watch=$!
until_true grep -q '^[0-9:]*\.[0-9]* [0-9]* (mpctl) [^ ]*: .*watch' "$work/seen"
kill $monitor $watch
wait $monitor $watch 2> /dev/null || true
expect 4 monitor --timeout 0.05
shows err 'nobody has asked'

# --- top

expect 0 top --count 2 --interval 0.05
shows out '^OPERATION  *PER SECOND'
shows out 'connections of 1000, 2 objects'
[ "$(grep -c '^OPERATION' "$work/out")" -eq 2 ] || wrong 'two pages'
expect 0 top --json --count 2 --interval 0.05
is_json
[ "$(wc -l < "$work/out")" -eq 2 ] || wrong 'two pages of JSON'
expect 2 top --interval 0
expect 2 top something

# On a terminal: another screen, and back; q is the end.
if command -v script > /dev/null 2>&1; then
  (until_true [ -s "$work/typed" ] && printf q) |
    script -qec "$mpctl top --interval 0.05" "$work/typed" > "$work/out" 2>&1 ||
    wrong "top on a terminal has failed: $(cat "$work/out")"
  tr -d '\033' < "$work/typed" > "$work/out"
  shows out '\[?1049h'
  shows out '\[?1049l'
fi

# --- output that nobody takes

code=0
"$mpctl" ls >&- 2> "$work/err" || code=$?
[ $code -eq 6 ] || wrong "with standard output closed: exit status $code"
shows err 'writing: Bad file descriptor'
code=0
"$mpctl" get d > /dev/full 2> "$work/err" || code=$?
[ $code -eq 6 ] || wrong "with a full disk: exit status $code"
shows err 'writing: No space left'
"$mpctl" get d key 2>&- > "$work/out" || wrong 'with standard error closed'
code=0
"$mpctl" set d key - <&- 2> "$work/err" || code=$?
[ $code -eq 6 ] || wrong "with standard input closed: exit status $code"
shows err 'standard input: Bad file descriptor'
prints 5 get d key
# Readers that have read enough: silence, and an end.
expect 0 append l 1 2 3
"$mpctl" get l 2> "$work/err" | true
[ ! -s "$work/err" ] || wrong "told off: $(cat "$work/err")"
mkfifo "$work/pipe"
"$mpctl" monitor > "$work/pipe" 2> "$work/err" &
monitor=$!
head -n 1 < "$work/pipe" > "$work/out" &
reader=$!
# Each of these is a request to be printed.
until_true sh -c "'$mpctl' ping; ! kill -0 $monitor"
wait $reader || true
wait $monitor 2> /dev/null || true
[ ! -s "$work/err" ] || wrong "told off: $(cat "$work/err")"

# --- completion

if bash -c 'true' 2> /dev/null; then
  expect 0 set '$(touch '"$work"'/evil)' 1
  expect 0 set 'two words' 1
  expect 0 call --type lock jobs locked
  # completes TEXT WORDS...: is that offered for the last of them?
  completes() {
    text=$1
    shift
    PATH=$(dirname "$mpctl"):$PATH bash -c '. "$0"
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mpctl; echo "${COMPREPLY[*]}"' \
      "$top_srcdir/mpctl/mpctl.bash" "$@" > "$work/out" 2> "$work/err"
    grep -q -- "$text" "$work/out"
  }
  # It has a second for an answer of managerd, which a busy machine may not give it at once.
  offers() {
    until_true completes "$@"
    [ ! -s "$work/err" ] || wrong "completion of $*: $(cat "$work/err")"
  }
  offers '^monitor$' mpctl mon
  offers '^get put$' mpctl queue ''
  offers '^d hits l .*two\\ words' mpctl get ''
  [ ! -e "$work/evil" ] || wrong 'completion carries out what names say'
  offers '^$' mpctl get d ''
  offers '^jobs$' mpctl lock j
  offers '^$' mpctl lock d
  offers '^--json$' mpctl get --jso
  offers '^lifo$' mpctl queue put --order l
  offers '^$' mpctl get --socket "$work/nobody" ''
  # Names and options that bash parts into several words.
  expect 0 set shop:bolts 1
  expect 0 set shop:nuts 1
  COMP_LINE='mpctl get shop:b'
  export COMP_LINE
  offers '^bolts$' mpctl get shop : b
  COMP_LINE='mpctl get shop:'
  offers '^bolts nuts$' mpctl get shop :
  COMP_LINE='mpctl get shop:bolts '
  offers '^$' mpctl get shop : bolts ''
  COMP_LINE='mpctl ls --type=nam'
  offers '^namespace$' mpctl ls --type = nam
  COMP_LINE="mpctl get --socket=$work/socket shop:n"
  offers '^nuts$' mpctl get --socket = "$work/socket" shop : n
  COMP_LINE="mpctl get --socket=$work/nobody shop:n"
  offers '^$' mpctl get --socket = "$work/nobody" shop : n
  unset COMP_LINE
fi

prints '{"ok": true}' shutdown --json
wait "$daemon" || wrong 'managerd did not end well'
daemon=
expect 5 ping
expect 5 top
expect 5 monitor
expect 5 clients --json
exit $status
