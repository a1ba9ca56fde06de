#!/bin/sh
# Arrows point down only (CONTRIBUTING.md, "The house"): from which rooms, besides its own, a room includes.
set -eu
cd "$top_srcdir"
exec awk '
BEGIN {
  # What is generated from proto/ is above nobody.
  may["base"] = ""
  may["obj"] = "base proto"
  may["shm"] = "base obj"
  may["sync"] = "base obj shm"
  may["conn"] = "base obj shm sync"
  may["queue"] = "base obj shm sync"
  may["process"] = "base obj shm proto"
  may["pool"] = "base obj shm process"
  may["wait"] = "base obj shm sync conn queue process pool"
  may["wire"] = "base obj proto"
  may["manager"] = "base obj wire proto conn" # the proof of keys is that of connections, as in serve
  may["serve"] = "base obj wire proto conn"
  may["server"] = "base obj wire proto serve conn"
  may["managerd"] = "base obj wire proto serve conn sync" # and the types of items are those of arrays
  may["mpctl"] = "base obj shm sync wire proto manager"
}
FNR == 1 {
  room = FILENAME
  sub(/\/[^\/]*$/, "", room)
  sub(/^src\//, "", room)
  if (!(room in may)) {
    print FILENAME ": a room of which tests/layers.sh knows nothing"
    status = 1
  }
}
/^#include "[a-z]+\// {
  split($2, path, /["\/]/)
  if (path[2] != room && index(" " may[room] " ", " " path[2] " ") == 0) {
    print FILENAME ": " room " includes from " path[2] ", which is not below it"
    status = 1
  }
}
END { exit status }
' src/*/*.[ch] managerd/*.[ch] mpctl/*.[ch] >&2
