/* SPDX-License-Identifier: MIT */
/*
 * manager/prove.h - a new connection proves the key, and is proved it, before its hello.
 *
 * The words are those of conn/auth.h, in requests Auth and their answers.
 */
#ifndef MP_MANAGER_PROVE_H
#define MP_MANAGER_PROVE_H

#include "manager/connection.h"

/*
 * With the key of the address; for a name in the file system else with that of the file in
 * $MP_AUTHKEY_FILE; 0 at once without one. -EKEYREJECTED, -ENOTSUP, -ENOSPC too many were wrong, -EPROTO, and
 * what mp__authkey_read() says.
 */
int mp__prove(struct mp__connection *connection, const struct mp__address *address,
	mp__deadline deadline);

#endif
