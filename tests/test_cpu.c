/* SPDX-License-Identifier: MIT */
/* mp_cpu_count(): the affinity mask, and quotas in made-up trees of control groups. */
#include <config.h>

#include "tests/support/place.h"
#include "tests/support/support.h"

#include "base/cpu.h"

#include <limits.h>
#include <mp/process.h>
#include <sched.h>

T_SUITE(cpu);

static char root[T_PLACE_SIZE];

static int quota(const char *membership)
{
	char path[PATH_MAX];

	t_place_put(root, "membership", membership);
	snprintf(path, sizeof(path), "%s/membership", root);
	return mp__cpu_quota(path, root);
}

Test(cpu, test_cpu_count)
{
	cr_assert(mp_cpu_count() >= 1);
}

Test(cpu, affinity_mask_counts)
{
	cpu_set_t before;
	cpu_set_t one;

	cr_assert(sched_getaffinity(0, sizeof(before), &before) == 0);
	cr_assert(mp_cpu_count() <= CPU_COUNT(&before));
	int first = 0;
	while (!CPU_ISSET(first, &before))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	cr_assert(sched_setaffinity(0, sizeof(one), &one) == 0);
	cr_assert_eq(mp_cpu_count(), 1);
	cr_assert(sched_setaffinity(0, sizeof(before), &before) == 0);
}

Test(cpu, quota_of_version_2)
{
	t_place_make(root);
	t_place_put(root, "a/b/cpu.max", "150000 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 2);
	t_place_put(root, "a/b/cpu.max", "200000 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 2);
	t_place_put(root, "a/b/cpu.max", "1000 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 1);
	t_place_put(root, "a/b/cpu.max", "max 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 0);
	t_place_remove(root);
}

Test(cpu, quota_of_a_parent_counts)
{
	t_place_make(root);
	t_place_put(root, "a/b/cpu.max", "800000 100000\n");
	t_place_put(root, "a/cpu.max", "300000 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 3);
	t_place_put(root, "a/b/cpu.max", "max 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 3);
	t_place_put(root, "a/b/cpu.max", "100000 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 1);
	/* As a container sees itself: the path is the host's, the group is the root. */
	t_place_put(root, "cpu.max", "400000 100000\n");
	cr_assert_eq(quota("0::/\n"), 4);
	cr_assert_eq(quota("0::/docker/1234\n"), 4);
	cr_assert_eq(quota("0::/../../a\n"), 4);
	t_place_remove(root);
}

Test(cpu, quota_of_version_1)
{
	t_place_make(root);
	t_place_put(root, "cpu,cpuacct/g/cpu.cfs_quota_us", "250000\n");
	t_place_put(root, "cpu,cpuacct/g/cpu.cfs_period_us", "100000\n");
	cr_assert_eq(quota("4:memory:/g\n3:cpu,cpuacct:/g\n0::/\n"), 3);
	cr_assert_eq(quota("4:memory:/g\n3:cpuset:/g\n"), 0);
	t_place_put(root, "cpu,cpuacct/g/cpu.cfs_quota_us", "-1\n");
	cr_assert_eq(quota("3:cpu,cpuacct:/g\n"), 0);
	t_place_put(root, "cpuset,cpu/cpu.cfs_quota_us", "100000\n");
	t_place_put(root, "cpuset,cpu/cpu.cfs_period_us", "100000\n");
	cr_assert_eq(quota("3:cpuset,cpu:/g/h\n"), 1);
	t_place_remove(root);
}

Test(cpu, both_versions_side_by_side)
{
	t_place_make(root);
	t_place_put(root, "cpu/g/cpu.cfs_quota_us", "500000\n");
	t_place_put(root, "cpu/g/cpu.cfs_period_us", "100000\n");
	t_place_put(root, "unified/u/cpu.max", "200000 100000\n");
	cr_assert_eq(quota("1:cpu:/g\n0::/\n"), 5);
	cr_assert_eq(quota("1:cpu:/g\n0::/u\n"), 2);
	t_place_remove(root);
}

Test(cpu, what_cannot_be_read_limits_nothing)
{
	char group[PATH_MAX + 16];

	t_place_make(root);
	t_place_put(root, "cpu.max", "0 0\n");
	t_place_put(root, "a/cpu.max", "");
	t_place_put(root, "b/cpu.max", "-5 100000\n");
	t_place_put(root, "c/cpu.max", "100000");
	t_place_put(root, "d/cpu.max", "9999999999999999 1\n");
	const char *const memberships[] = {"", "\n", "nonsense\n", "0:\n", "0::\n", "::::\n",
		"0::relative\n", "0::/a\n", "0::/b\n", "0::/c\n", "1:cpu:/\n", "1:,,cpu,:/\n"};
	for (size_t i = 0; i < sizeof(memberships) / sizeof(memberships[0]); i++)
		cr_assert_eq(quota(memberships[i]), 0, "%s", memberships[i]);
	cr_assert(quota("0::/d\n") == INT_MAX);
	memset(group, 'x', sizeof(group));
	memcpy(group, "0::/", 4);
	group[sizeof(group) - 1] = '\0';
	cr_assert_eq(quota(group), 0);
	cr_assert_eq(mp__cpu_quota("/nonexistent", root), 0);
	t_place_remove(root);
}
