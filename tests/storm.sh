#!/bin/sh
# The kill storm, for some seconds. Its deadlines are those of code at full speed: what sanitizers see,
# they see in the other tests.
! grep -q '^MP_SANITIZE = .*-fsanitize' "$top_builddir/Makefile" || exit 77
exec "$top_builddir/tests/storm/storm" --kills 150
