/* SPDX-License-Identifier: MIT */
/*
 * manager/failure.h - what a managerd refuses, said with what was asked of which object.
 *
 * The daemon tells why: "no such key". Only this side knows what the caller attempted and by which
 * name it knows the object: "get of the dict 'visits': no such key".
 */
#ifndef MP_MANAGER_FAILURE_H
#define MP_MANAGER_FAILURE_H

#include "manager/connection.h"
#include "manager/proxy.h"

/* The result of mp__connection_call(), which the sentence of this thread belongs to. Returns it. */
int mp__failure_said(const struct mp_proxy *proxy, const Mp__Request *request,
	const struct mp__reply *reply, int result);

#endif
