/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/waiting.h"

#include "base/deadline.h"

static __thread struct mp__waiting self __attribute__((tls_model("initial-exec")));

void mp__waiting_begin(const struct mp__sync_head *head, mp__stamp owner)
{
	self = (struct mp__waiting){.head = head, .owner = owner, .since_ns = mp__now_ns()};
}

void mp__waiting_update(mp__stamp owner)
{
	self.owner = owner;
}

void mp__waiting_end(void)
{
	self.head = NULL;
}

const struct mp__waiting *mp__waiting_self(void)
{
	return &self;
}
