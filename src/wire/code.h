/* SPDX-License-Identifier: MIT */
/* wire/code.h - the protocol's codes as results of libmp. */
#ifndef MP_WIRE_CODE_H
#define MP_WIRE_CODE_H

/* mp.Code -> 0, a positive MP_ code or a negative errno; -EPROTO for codes of a newer daemon. */
int mp__code_to_result(int code);

#endif
