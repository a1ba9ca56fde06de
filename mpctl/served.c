/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "mpctl/served.h"

#include "mpctl/daemon.h"

#include <mp/error.h>
#include <string.h>

/* For somebody who wants to know about locks, a daemon that does not answer is no news for long. */
#define PATIENCE_MS 2000

static void copy_text(char *to, size_t size, const char *text)
{
	if (text)
		snprintf(to, size, "%s", text);
}

static void add_item(struct scene *scene, const mp_obj *item)
{
	struct served object = {.number = item_i64(item, "number")};
	bool waits = item_str(item, "method") != NULL;
	int64_t ns = (int64_t)(item_f64(item, "seconds") * 1e9);

	copy_text(object.class_name, sizeof(object.class_name), item_str(item, "class"));
	copy_text(object.name, sizeof(object.name), item_str(item, "name"));
	scene_add_served(scene, &object, (pid_t)item_i64(item, "pid"),
		(uint32_t)item_i64(item, "thread"), waits ? mp__now_ns() - ns : 0);
}

static int read_holds(struct scene *scene, struct line *line)
{
	mp_obj holds;
	int r = daemon_holds(line, &holds);

	if (r < 0)
		return line_fail(line, r, NULL);
	for (size_t i = 0; i < holds.count; i++) {
		if (holds.as.items[i].type == MP_TYPE_DICT)
			add_item(scene, &holds.as.items[i]);
	}
	mp_obj_free(&holds);
	return 0;
}

int served_read(struct scene *scene, void *data)
{
	struct line line = {.command = &command_locks, .timeout_ms = PATIENCE_MS};

	line.socket = data ? data : line_socket();
	int r = mp_manager_connect(
		line.socket, MP_MANAGER_OPTIONS(.timeout_ms = PATIENCE_MS), &line.manager);
	if (r < 0 && !data)
		return 0;
	if (r < 0) {
		fprintf(stderr, "mpctl locks: %s\n", mp_error_detail());
		return MPCTL_NO_DAEMON;
	}
	r = read_holds(scene, &line);
	mp_manager_close(line.manager);
	return data ? r : 0;
}
