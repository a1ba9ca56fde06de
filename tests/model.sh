#!/bin/sh
# The small models; skipped where spin is missing.
exec sh "$top_srcdir/tests/model/run" --small
