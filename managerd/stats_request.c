/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/stats_request.h"

#include "base/cleanup.h"
#include "managerd/metrics.h"
#include "obj/codec.h"
#include "proto/manager.pb-c.h"
#include "serve/call.h"
#include "serve/inspect.h"

static int answer(struct serve_call *call)
{
	size_t size = 0;
	MP__AUTO_FREE char *text = md_metrics_text(call->session->context, &size);
	MP__AUTO_FREE void *encoded = NULL;

	if (!text || mp_obj_encode(mp_strn(text, size), &encoded, &size) < 0)
		return serve_fail_no_memory(call);
	return serve_answer_value(call, (struct serve_bytes){encoded, size});
}

bool md_stats_request(struct serve_session *session, const Mp__Request *request, int *ret_r)
{
	struct serve_call call = {.session = session, .id = request->id};

	if (request->op_case != MP__REQUEST__OP_STATS)
		return false;
	if (serve_is_keeper(session))
		*ret_r = answer(&call);
	else
		*ret_r = serve_fail(&call, MP__CODE__DENIED,
			"only the daemon's own user and root may see its counters");
	return true;
}
