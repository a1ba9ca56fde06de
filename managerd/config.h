/* SPDX-License-Identifier: MIT */
/*
 * managerd/config.h - the configuration file, managerd.conf(5).
 *
 * It is read by inih. What that does not tell, the number of the line, or accepts in silence (lines
 * cut at its buffer, lines that go on in the next one, empty sections that do not exist), is seen
 * by the function through which it gets its lines. Everything that is wrong is reported, not only
 * the first thing; and a file with an error changes nothing.
 */
#ifndef MANAGERD_CONFIG_H
#define MANAGERD_CONFIG_H

#include "managerd/settings.h"

/*
 * Read the file into the settings. Each error goes to `complain` as "FILE:LINE: what". 0; -EINVAL:
 * there are errors; else what the system says about the file, after one complaint: "FILE: why".
 * The settings are changed on success only.
 */
int md_config_read(const char *path, struct md_settings *settings,
	void (*complain)(const char *sentence, void *data), void *data);

#endif
