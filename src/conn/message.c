/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/message.h"

#include "base/error.h"
#include "conn/connection.h"

#include <endian.h>
#include <inttypes.h>

void mp__head_write(uint8_t *at, const struct mp__head *head)
{
	uint64_t length = htole64(head->length);
	uint32_t n_fds = htole32(head->n_fds);
	uint16_t tag = htole16(head->tag);

	memcpy(at, &length, sizeof(length));
	at[8] = head->kind;
	at[9] = head->flags;
	memcpy(at + 10, &tag, sizeof(tag));
	memcpy(at + 12, &n_fds, sizeof(n_fds));
}

int mp__head_read(const uint8_t *at, size_t max, bool beside_pipe, struct mp__head *ret_head)
{
	struct mp__head head = {.kind = at[8], .flags = at[9]};

	memcpy(&head.length, at, sizeof(head.length));
	memcpy(&head.tag, at + 10, sizeof(head.tag));
	memcpy(&head.n_fds, at + 12, sizeof(head.n_fds));
	head.tag = le16toh(head.tag);
	head.length = le64toh(head.length);
	head.n_fds = le32toh(head.n_fds);
	if (head.kind < MP__MESSAGE_VALUE || head.kind > MP__MESSAGE_WAKE ||
		(!beside_pipe && (head.kind == MP__MESSAGE_WAKE || head.tag != 0)) ||
		head.flags & ~(MP__HEAD_LONG | MP__HEAD_ENVELOPE))
		return mp_error_set(
			-EBADMSG, "receiving: what came over the connection is no message");
	if (head.n_fds > 0 && head.kind != MP__MESSAGE_VALUE)
		return mp_error_set(-EBADMSG, "a message without handles has descriptors");
	if (head.length > max)
		return mp_error_set(-EBADMSG,
			"receiving: a message of %" PRIu64
			" bytes came; the connection takes at most %zu (option max_message)",
			head.length, max);
	*ret_head = head;
	return 0;
}
