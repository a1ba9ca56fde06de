#!/bin/sh
# The kill storm, for some seconds: in code at full speed, and in that which AddressSanitizer and
# UndefinedBehaviorSanitizer watch, where a process takes five times as long for everything: one round.
# ThreadSanitizer ends children that a process with threads forks, as soon as they have threads too.
kills=150
sanitizers=$(sed -n 's/^MP_SANITIZE = .*-fsanitize=\([^ ]*\).*/\1/p' "$top_builddir/Makefile")
case $sanitizers in
*thread*) exit 77 ;;
?*) kills=60 ;;
esac
exec "$top_builddir/tests/storm/storm" --kills $kills
