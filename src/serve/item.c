/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/item.h"

#include "obj/codec.h"

/* A name, some words and numbers. */
#define ITEM_MAX 1024

bool serve_item_append_value(struct serve_call *call, mp_obj value)
{
	uint8_t bytes[ITEM_MAX];
	ssize_t size = mp__obj_encode_into(&value, NULL, bytes, sizeof(bytes));

	if (size < 0 || (size_t)size > sizeof(bytes)) {
		serve_assemble_nothing(call);
		serve_fail(call, MP__CODE__INTERNAL, "an item of the list cannot be encoded");
		return false;
	}
	return serve_assemble(call, (struct serve_bytes){bytes, (size_t)size});
}

bool serve_item_append(struct serve_call *call, const struct serve_item *item)
{
	return serve_item_append_value(call, mp_dict_of(item->pairs, item->n));
}
