/* SPDX-License-Identifier: MIT */
/*
 * managerd/dict_request.h - the operations of dicts that have messages of their own.
 *
 * They are older than Call, and the fast ones: the most frequent are read without protobuf-c.
 */
#ifndef MANAGERD_DICT_REQUEST_H
#define MANAGERD_DICT_REQUEST_H

#include "proto/manager.pb-c.h"
#include "serve/session.h"
#include "wire/quick.h"

/* For struct serve_service. */
bool md_dict_request(struct serve_session *session, const Mp__Request *request, int *ret_r);
int md_dict_quick(struct serve_session *session, const struct mp__quick *q);

#endif
