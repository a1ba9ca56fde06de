/* SPDX-License-Identifier: MIT */
/*
 * serve/assemble.h - an answer put together in context->assembled, which is empty between calls.
 *
 * Items of a list or dict are appended one after the other; a gap in front takes what stands before
 * them, whose length is known only at the end. So one pass over an object is enough.
 */
#ifndef SERVE_ASSEMBLE_H
#define SERVE_ASSEMBLE_H

#include "serve/call.h"

/* One more item. False: too large or no memory; that is answered, and nothing is assembled. */
bool serve_assemble(struct serve_call *call, struct serve_bytes item);
/* Another answer is given instead: forget the items. */
void serve_assemble_nothing(struct serve_call *call);
/* Answer with all items, of which there may be none: a list, or the keys and values of a dict. */
int serve_answer_list(struct serve_call *call);
int serve_answer_dict(struct serve_call *call);

/* Answer with the encoded value that stands there: see serve_answer_stored(). */
int serve_answer_assembled(struct serve_call *call);

#endif
