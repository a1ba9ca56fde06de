#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The JSON of `visits --json` on standard input must be the known counts of the real logs."""
import json
import sys

EXPECTED = {
    "20150517.log": {"total": 1632, "ip": 341},
    "20150518.log": {"total": 2893, "ip": 627},
    "20150519.log": {"total": 2896, "ip": 561},
    "20150520.log": {"total": 2579, "ip": 505},
}

got = json.load(sys.stdin)
if got != EXPECTED:
    sys.exit(f"got {got}, not {EXPECTED}")
