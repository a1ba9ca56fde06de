/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/dict_expiry.h"

#include "base/deadline.h"
#include "base/testpoint.h"
#include "managerd/dict_methods.h"
#include "managerd/obj_dict.h"
#include "serve/refer.h"

#include <inttypes.h>
#include <stdlib.h>

#define NS_PER_MS ((int64_t)1000 * 1000)

struct alarm {
	struct serve_timer timer; /* first */
	struct serve_context *context;
	struct serve_object *object;
};

void md_dict_set_alarm(struct serve_object *object)
{
	const struct serve_store *dict = object->state;
	struct alarm *alarm = dict->alarm;
	int64_t next = alarm ? dict->class->next_expiry(object->state) : SERVE_NEVER;

	/* It may go off early, if that key was taken out: then it is set again. Without memory the
	 * next look at the dict will do. */
	if (next != SERVE_NEVER && (alarm->timer.place == 0 || next < alarm->timer.at_ns))
		(void)serve_timer_set(&alarm->context->timers, &alarm->timer, next);
}

/* What is due goes, as far as this turn has room. False: there is more. */
static bool sweep(struct serve_object *object)
{
	struct serve_store *dict = object->state;
	struct serve_context *context = ((const struct alarm *)dict->alarm)->context;
	int64_t next = dict->class->next_expiry(dict);
	int64_t now = next != SERVE_NEVER ? mp__now_ns() : 0;

	if (next > now)
		return true;
	MP__TEST_POINT("managerd.expire");
	size_t n = dict->class->expire(dict, now, context->expiring_left);
	serve_context_expired(context, n);
	if (n > 0)
		serve_changed(object);
	return dict->class->next_expiry(dict) > now;
}

static void go_off(struct serve_timer *timer)
{
	const struct alarm *alarm = (const struct alarm *)timer;
	struct serve_object *object = alarm->object;

	serve_object_ref(object); /* what goes may have been the last that referred to it */
	bool is_done = sweep(object);
	md_dict_set_alarm(object);
	/* What is due already would go off again and again in this turn, and others would not. */
	if (!is_done)
		(void)serve_timer_set(&alarm->context->timers, timer, mp__now_ns() + 1);
	serve_object_unref(object);
}

bool md_dict_refresh(struct serve_object *object)
{
	const struct serve_store *dict = object->state;

	return !dict->alarm || sweep(object);
}

void md_dict_drop_alarm(struct serve_store *dict)
{
	struct alarm *alarm = dict->alarm;

	if (alarm)
		serve_timer_stop(&alarm->context->timers, &alarm->timer);
	free(alarm);
	dict->alarm = NULL;
}

bool md_dict_need_alarm(struct serve_call *call)
{
	struct serve_context *context = call->session->context;
	struct serve_store *dict = md_dict_of(call);
	struct alarm *alarm = dict->alarm;

	if (!alarm) {
		alarm = calloc(1, sizeof(*alarm));
		if (alarm)
			*alarm = (struct alarm){
				.timer.fire = go_off, .context = context, .object = call->object};
		dict->alarm = alarm;
	}
	if (alarm && serve_timers_reserve(&context->timers, 1))
		return true;
	serve_fail_no_memory(call);
	return false;
}

bool md_ttl_end(int64_t ms, int64_t *ret_ns)
{
	if (ms < 1 || ms > MD_TTL_MAX_MS)
		return false;
	*ret_ns = mp__now_ns() + ms * NS_PER_MS;
	return true;
}

/* The end in an argument. False: answered. */
static bool arg_end(struct serve_call *call, size_t arg, int64_t *ret_ns)
{
	int64_t ms;

	if (!serve_arg_i64(call, arg, &ms))
		return false;
	if (!md_ttl_end(ms, ret_ns)) {
		serve_fail(call, MP__CODE__INVALID,
			"a key that lives for %" PRId64 " ms: 1 to %" PRId64 " may be", ms,
			MD_TTL_MAX_MS);
		return false;
	}
	return md_dict_need_alarm(call);
}

int md_dict_set_for(struct serve_call *call)
{
	struct serve_bytes value;
	struct mp__key key;
	int64_t end;

	if (!serve_arg_key(call, 0, &key) || !serve_arg_value(call, 1, &value) ||
		!arg_end(call, 2, &end) || !serve_may_grow(call, 2 * key.size) ||
		!md_dict_refer(call, value))
		return call->failed;
	int r = md_dict_set_until(md_dict_of(call), md_key_bytes(&key), value, end);
	if (r != 0) {
		serve_unrefer(call->object, value);
		return md_dict_fail(call, r);
	}
	md_dict_set_alarm(call->object);
	serve_changed(call->object);
	return serve_answer_nil(call);
}

/* The end of a key that is there becomes another one. */
static int answer_changed(struct serve_call *call, int r, bool answer)
{
	if (r == SERVE_STORE_E_NOT_FOUND)
		return md_dict_fail(call, MD_DICT_E_NO_KEY);
	if (r != 0)
		return serve_fail_no_memory(call);
	if (answer)
		serve_changed(call->object);
	return serve_answer_bool(call, answer);
}

int md_dict_expire(struct serve_call *call)
{
	struct serve_store *dict = md_dict_of(call);
	struct mp__key key;
	int64_t end;

	if (!serve_arg_key(call, 0, &key) || !arg_end(call, 1, &end) ||
		!serve_may_grow(call, key.size))
		return call->failed;
	int r = dict->class->expire_at(dict, md_key_bytes(&key), end);
	if (r == 0)
		md_dict_set_alarm(call->object);
	return answer_changed(call, r, true);
}

int md_dict_persist(struct serve_call *call)
{
	struct serve_store *dict = md_dict_of(call);
	struct mp__key key;
	int64_t end = 0;

	if (!serve_arg_key(call, 0, &key))
		return call->failed;
	int r = dict->class->expires(dict, md_key_bytes(&key), &end);
	if (r == 0 && end != 0)
		r = dict->class->expire_at(dict, md_key_bytes(&key), 0);
	return answer_changed(call, r, end != 0);
}

/* Rounded up: what is there has some time left. */
int md_dict_ttl(struct serve_call *call)
{
	struct serve_store *dict = md_dict_of(call);
	struct mp__key key;
	int64_t end;

	if (!serve_arg_key(call, 0, &key))
		return call->failed;
	if (dict->class->expires(dict, md_key_bytes(&key), &end) != 0)
		return md_dict_fail(call, MD_DICT_E_NO_KEY);
	if (end == 0)
		return serve_answer_nil(call);
	int64_t left = (end - mp__now_ns() + NS_PER_MS - 1) / NS_PER_MS;
	return serve_answer_i64(call, left > 0 ? left : 1);
}
