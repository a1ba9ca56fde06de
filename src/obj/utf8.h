/* SPDX-License-Identifier: MIT */
/*
 * obj/utf8.h - is this text? UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, nothing
 * above U+10FFFF; and no NUL, because every string of libmp is also a C string.
 */
#ifndef MP_OBJ_UTF8_H
#define MP_OBJ_UTF8_H

#include <stdbool.h>
#include <stddef.h>

bool mp__utf8_valid(const char *text, size_t length);

/* Bytes of the character at the beginning of text (NUL is one, of 1); 0 if it is not valid. */
size_t mp__utf8_char(const char *text, size_t length);

#endif
