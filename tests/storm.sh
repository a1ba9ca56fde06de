#!/bin/sh
# The kill storm, for some seconds.
exec "$top_builddir/tests/storm/storm" --kills 150
