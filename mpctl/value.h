/* SPDX-License-Identifier: MIT */
/*
 * mpctl/value.h - values of libmp as text: from the command line, and to standard output.
 *
 * In: what is JSON is that value; what begins like a JSON string, list or dict and is none is an
 * error; all else is a string as it stands. Out: JSON, and a string alone without its quotes. What JSON
 * has no notation for is an object with one key that begins with $: {"$bytes": BASE64},
 * {"$dict": [[KEY, VALUE], ...]} where keys are no strings, {"$f64": "nan"}, {"$object": CLASS}; the
 * first two are understood, too.
 */
#ifndef MPCTL_VALUE_H
#define MPCTL_VALUE_H

#include "mpctl/line.h"

#include <mp/obj.h>

/* Is it - for standard input? */
bool value_is_stdin(const char *text);

/*
 * The value of a text by the line's options (--string, --bytes), to be freed with mp_obj_free(). The
 * text - is all of standard input. MPCTL_OK, or what went wrong, which has been said.
 */
int value_read(struct line *line, const char *text, mp_obj *ret);
/* The same of the next line of standard input; *ret_end: there was none. */
int value_read_line(struct line *line, bool *ret_end, mp_obj *ret);
/* A key: never of standard input, never bytes. */
int value_read_key(struct line *line, const char *text, mp_obj *ret);

/* As JSON, in one line, without an end of line. */
void value_write_json(FILE *to, const mp_obj *value);
/* As the line wants it, and an end of line. */
void value_print(const struct line *line, const mp_obj *value);

#endif
