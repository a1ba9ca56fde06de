/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/head.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void mp__sync_prepare(struct mp__sync_head *head, const char *name, uint32_t flags)
{
	/* Who uses the object that stood here before learns it first. */
	atomic_store_explicit(&head->magic, 0, memory_order_relaxed);
	head->flags = flags;
	memset(head->name, 0, sizeof(head->name));
	if (name)
		memcpy(head->name, name, strnlen(name, sizeof(head->name) - 1));
}

const char *mp__sync_kind_of(uint32_t magic)
{
	switch (magic) {
	case MP__MAGIC_LOCK:
		return "lock";
	case MP__MAGIC_RLOCK:
		return "rlock";
	case MP__MAGIC_RWLOCK:
		return "rwlock";
	case MP__MAGIC_SEMAPHORE:
		return "semaphore";
	case MP__MAGIC_CONDITION:
		return "condition";
	case MP__MAGIC_EVENT:
		return "event";
	case MP__MAGIC_BARRIER:
		return "barrier";
	case MP__MAGIC_VALUE:
		return "value";
	case MP__MAGIC_ARRAY:
		return "array";
	case MP__MAGIC_QUEUE:
		return "queue";
	case MP__MAGIC_PIPE:
		return "pipe";
	default:
		return NULL;
	}
}

const char *mp__sync_kind(const struct mp__sync_head *head)
{
	const char *kind =
		mp__sync_kind_of(atomic_load_explicit(&head->magic, memory_order_relaxed));

	return kind ? kind : "object";
}

int mp__sync_place(const struct mp__sync_head *head, uint32_t magic)
{
	const char *wanted = mp__sync_kind_of(magic);

	if (!head)
		return mp_error_set(-EINVAL, "no %s: the pointer is NULL", wanted);
	if ((uintptr_t)head & 7)
		return mp_error_set(
			-EINVAL, "no %s at %p: not aligned to 8 bytes", wanted, (const void *)head);
	return 0;
}

int mp__sync_wrong(const struct mp__sync_head *head, uint32_t magic)
{
	const char *wanted = mp__sync_kind_of(magic);

	if (mp__sync_place(head, magic) < 0)
		return -EINVAL;
	const char *found =
		mp__sync_kind_of(atomic_load_explicit(&head->magic, memory_order_relaxed));
	if (found)
		return mp_error_set(-EINVAL, "no %s at %p: a %s stands there", wanted,
			(const void *)head, found);
	return mp_error_set(-EINVAL,
		"no %s at %p: it was never made, it was destroyed, or its memory is damaged",
		wanted, (const void *)head);
}

const char *mp__sync_name(const struct mp__sync_head *head, char buffer[MP__SYNC_NAME_SIZE])
{
	memcpy(buffer, head->name, MP__SYNC_NAME_SIZE - 1);
	buffer[MP__SYNC_NAME_SIZE - 1] = '\0';
	return buffer;
}

const char *mp__sync_label(const struct mp__sync_head *head, char buffer[MP__SYNC_LABEL_SIZE])
{
	char name[MP__SYNC_NAME_SIZE];

	if (!*mp__sync_name(head, name))
		return "";
	(void)snprintf(buffer, MP__SYNC_LABEL_SIZE, " '%s'", name);
	return buffer;
}
