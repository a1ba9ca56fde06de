/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/assemble.h"

#include "serve/refer.h"

#include <inttypes.h>

static struct mp__buffer *assembled(struct serve_call *call)
{
	return &call->session->context->assembled;
}

void serve_assemble_nothing(struct serve_call *call)
{
	mp__buffer_consume(assembled(call), mp__buffer_size(assembled(call)));
}

/* Room for so much more, behind the gap and what is there. NULL: answered. */
static uint8_t *reserve(struct serve_call *call, size_t size)
{
	struct mp__buffer *out = assembled(call);
	uint32_t max = call->session->context->limits.max_frame;
	size_t gap = mp__buffer_size(out) ? 0 : MP__LIST_HEAD_MAX;
	uint8_t *at = NULL;

	if (mp__buffer_size(out) + gap + size > max)
		serve_fail(call, MP__CODE__TOO_LARGE,
			"the answer does not fit in a frame of %" PRIu32
			" bytes: ask for fewer at a time",
			max);
	else if (!(at = mp__buffer_reserve(out, gap + size)))
		serve_fail_no_memory(call);
	if (!at) {
		serve_assemble_nothing(call);
		return NULL;
	}
	out->end += gap;
	return at + gap;
}

bool serve_assemble(struct serve_call *call, struct serve_bytes item)
{
	uint8_t *at = reserve(call, mp__item_size(item.size));

	if (at)
		assembled(call)->end += (size_t)(mp__item_put(at, item.data, item.size) - at);
	return at;
}

/* The gap takes the head, as far at its end as it is long. */
static int answer_items(struct serve_call *call, bool is_dict)
{
	struct mp__buffer *out = assembled(call);

	if (!reserve(call, 0))
		return call->failed;
	size_t size = mp__buffer_size(out) - MP__LIST_HEAD_MAX;
	mp__buffer_consume(out, MP__LIST_HEAD_MAX - mp__list_head_size(size));
	mp__list_head_put(mp__buffer_at(out), is_dict, size);
	return serve_answer_assembled(call);
}

int serve_answer_list(struct serve_call *call)
{
	return answer_items(call, false);
}

int serve_answer_dict(struct serve_call *call)
{
	return answer_items(call, true);
}

int serve_answer_assembled(struct serve_call *call)
{
	struct mp__buffer *out = assembled(call);
	int r = serve_answer_stored(
		call, (struct serve_bytes){mp__buffer_at(out), mp__buffer_size(out)});

	serve_assemble_nothing(call);
	return r;
}
