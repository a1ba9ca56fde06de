/* SPDX-License-Identifier: MIT */
/*
 * base/cpu.h - how many CPUs this process can really keep busy.
 *
 * The affinity mask says which it may run on, the CPU quota of a control group (containers, systemd's
 * CPUQuota=) how much time it gets on them. Both are asked each time: they change while one runs.
 */
#ifndef MP_BASE_CPU_H
#define MP_BASE_CPU_H

/*
 * The tightest quota of the control groups that this process is in, their parents included, in whole
 * CPUs, rounded up; 0 there is none. `membership` is /proc/self/cgroup and `root` is /sys/fs/cgroup,
 * or what a test puts in their place. What cannot be read limits nothing.
 */
int mp__cpu_quota(const char *membership, const char *root);

#endif
