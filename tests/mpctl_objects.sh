#!/bin/sh
# mpctl get, set, del, append, add, call, ls: what stands in managerd, as scripts use it.
set -eu
. "$top_srcdir/tests/support/mpctl.sh"
start_daemon

# --- values: JSON where it is JSON, else strings

# round TEXT JSON [OPTION...]: what TEXT is, when it comes back as JSON.
round() {
  text=$1
  json=$2
  shift 2
  expect 0 set "$@" v "$text"
  prints "$json" get --json v
}
round 5 5
round -5 -5
round 9223372036854775807 9223372036854775807
round 18446744073709551615 18446744073709551615
round 18446744073709551616 '"18446744073709551616"'
round 1.5 1.5
round 1e300 1e+300
round 2.0 2.0
round 0.1 0.1
round true true
round null null
round hello '"hello"'
round 'two words' '"two words"'
round '' '""'
round 'a blank ' '"a blank "'
round 'say "x"' '"say \"x\""'
round 5 '"5"' --string
round '{"a' '"{\"a"' --string
round '"5"' '"5"'
round 'Zürich' '"Zürich"'
round '"\u00fc\u0001"' '"ü\u0001"'
round '"\u009b\u00a0"' "$(printf '"\\u009b\302\240"')"
round '[1, [2, {"x": {"y": null}}], "z"]' '[1, [2, {"x": {"y": null}}], "z"]'
round '{}' '{}'
round '{"$bytes": "AAECAw=="}' '{"$bytes": "AAECAw=="}'
round '{"$bytes": "AAEC"}' '{"$bytes": "AAEC"}'
round '{"$bytes": ""}' '{"$bytes": ""}'
round abc '{"$bytes": "YWJj"}' --bytes
round '{"$dict": [[1, 2], [true, "x"]]}' '{"$dict": [[1, 2], [true, "x"]]}'
round 01 '"01"'

expect 2 set v '{"a"'
shows err 'begins like JSON'
expect 2 set v '{"$bytes": "A"}'
expect 2 set v '{"$bytes": "A.=="}'
expect 2 set v '{"$dict": [[1]]}'
expect 2 set v '"\u0000"'
expect 2 set v "$(printf '\377')"
deep=$(printf '%0100d' 0 | tr 0 '[')$(printf '%0100d' 0 | tr 0 ']')
expect 2 set v "$deep"
prints '"01"' get --json v # all that changed nothing

# Text for people: strings without quotes, bytes as they are.
expect 0 set v hello
prints hello get v
expect 0 set --bytes v "$(printf 'a\001')"
[ "$("$mpctl" get v | od -An -c | tr -d ' ')" = 'a001' ] || wrong 'bytes come as they are'

# Standard input is one value.
printf '[1,\n 2]\n' | "$mpctl" set v - || wrong 'set v -'
prints '[1, 2]' get v
printf ' x\n' | "$mpctl" set --string v - || wrong 'set --string v -'
prints '" x\n"' get --json v
printf '\000\377' | "$mpctl" set --bytes v - || wrong 'set --bytes v -'
prints '{"$bytes": "AP8="}' get --json v

# --- dicts, lists, namespaces

expect 0 set d name Ann
expect 0 set d 7 seven
expect 0 set --string d 7 text
prints Ann get d name
prints seven get d 7
prints text get --string d 7
prints text get d '"7"'
prints '{"$dict": [["name", "Ann"], [7, "seven"], ["7", "text"]]}' get d
is_json
expect 1 get d nobody
shows err 'nobody: .*no such key'
expect 2 set d value
shows err 'd is a dict, which wants a key'
expect 0 del d 7 '"7"'
prints '{"name": "Ann"}' get d
expect 1 del d nobody name
prints '{}' get d
expect 1 del --json d name
is_json
shows out '{"deleted": 0}'

expect 0 set --for 1000 d session 7
prints 7 get d session
expect 0 call d ttl session
[ "$(cat "$work/out")" -gt 900000 ] || wrong "the rest of its time: $(cat "$work/out")"
expect 0 set --for 0.001 d session 8
gone() {
  "$mpctl" get d session
  [ $? -eq 1 ]
}
until_true gone
expect 2 set --for 5 v x
expect 2 set --for soon d x y
expect 2 set --for 0 d x y
expect 1 get d x

expect 0 append l 1 two '[3]'
prints '[1, "two", [3]]' get l
printf 'four\n5\n\n6' | "$mpctl" append l - || wrong 'append l -'
prints '[1, "two", [3], "four", 5, "", 6]' get l
prints 6 get l -1
prints two get l 1
expect 1 get l 7
expect 2 get l first
expect 0 set l 0 one
expect 0 del l -1 -1
prints '["one", "two", [3], "four", 5]' get l
expect 1 set l 9 x
expect 2 append l 7 '[8'
prints '["one", "two", [3], "four", 5]' get l # all or none
expect 6 append d x
shows err 'd: .* not of a list'
prints '{"ok": true}' append --json l 6

expect 0 set --type namespace n height 180
prints 180 get n height
prints '{"height": 180}' get n
expect 0 del n height
expect 1 get n height

# --- numbers

prints 5 add hits 5
prints 3 add hits -2
prints 3 get hits
expect 0 set hits 10
prints 10 get hits
prints 2 add d visits 2
prints 2.5 add d visits 0.5
expect 0 set l 0 4
prints 5 add l 0 1
expect 2 add hits many
shows err 'many is no number'
expect 6 add hits 9223372036854775807
prints 10 get hits
expect 2 add l 1
expect 2 add v 1
expect 2 add hits key 1

# --- the others: their state, and any method

expect 0 set --type event e true
prints true get e
expect 0 set e false
prints false get e
expect 2 set e 5
expect 0 call --type lock k locked
prints false get k
expect 2 set k 5
expect 2 get k key
prints 1 call --type semaphore s value
prints 1 get s
expect 0 call --type queue q put '{"x": 1}'
prints 1 get q
prints '{"x": 1}' call q get
expect 4 call --timeout 0 q get
expect 4 call --timeout 0.01 q get
expect 6 call q nonsense
expect 0 call q shutdown
expect 1 call q get
prints null call --json q clear
expect 0 make permits semaphore 3
expect 0 make permits semaphore 5 # stays as it is
prints 3 get permits
expect 6 make permits lock
expect 6 make other semaphore -1
expect 6 make other nonsense
expect 2 make other
prints '{"ok": true}' make --json a array l 3
expect 0 set a 1 7
prints 9 add a 1 2
prints '[0, 9, 0]' get a
prints 9 get a 1
expect 1 get a 3
expect 2 del a 1
expect 1 call nobody get
expect 6 call --type nonsense x y

# --- names

expect 0 ls
shows out '^hits$'
prints hits ls 'h*'
prints 'd' ls '?' --type dict
prints '' ls 'nothing*'
expect 0 ls --long
shows out 'CLASS .*BYTES .*NAME'
shows out '^counter .*hits$'
expect 0 ls --json
is_json
shows out '"class": "counter", "name": "hits"'
expect 0 del hits
expect 1 get hits
expect 1 del hits
expect 0 set hits text # the name is free
prints text get hits
name=$(printf 'odd\033name')
expect 0 set "$name" 1
prints "$name" ls 'odd*'
expect 0 ls --long 'odd*'
shows out 'odd\\x1bname'
expect 6 set "$(printf '%0256d' 0)" 5
expect 2 set
expect 2 set d
expect 2 get a b c
expect 2 get --nonsense d
expect 2 get --string=1 d
expect 2 get --timeout
expect 2 get --timeout soon d
expect 2 get --timeout -1 d
expect 2 ls --type
expect 0 get --help
shows out 'usage: mpctl get'

# --- without a daemon, or with another thing there

expect 5 get --socket "$work/nobody" d
shows err 'is managerd running there'
expect 2 get --socket nobody d
expect 5 get --socket "$work" d
expect 0 shutdown
code=0
wait "$daemon" || code=$?
daemon=
[ $code -eq 0 ] || wrong "managerd ended with $code"
expect 5 ls
exit $status
