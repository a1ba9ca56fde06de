/* SPDX-License-Identifier: MIT */
/* mp_cpu_count(): the affinity mask, and quotas in made-up trees of control groups. */
#include <config.h>

#include "tests/support/support.h"

#include "base/cpu.h"

#include <ftw.h>
#include <limits.h>
#include <mp/process.h>
#include <sched.h>
#include <sys/stat.h>

T_SUITE(cpu);

static char root[64];

static void make_root(void)
{
	strcpy(root, "/tmp/mp-test-cpu-XXXXXX");
	cr_assert_not_null(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void remove_root(void)
{
	cr_assert(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

/* Write root/path, directories included. */
static void put(const char *path, const char *text)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		mkdir(full, 0700);
	}
	FILE *file = fopen(full, "we");
	cr_assert_not_null(file, "%s", full);
	fputs(text, file);
	fclose(file);
}

static int quota(const char *membership)
{
	char path[PATH_MAX];

	put("membership", membership);
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
	make_root();
	put("a/b/cpu.max", "150000 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 2);
	put("a/b/cpu.max", "200000 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 2);
	put("a/b/cpu.max", "1000 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 1);
	put("a/b/cpu.max", "max 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 0);
	remove_root();
}

Test(cpu, quota_of_a_parent_counts)
{
	make_root();
	put("a/b/cpu.max", "800000 100000\n");
	put("a/cpu.max", "300000 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 3);
	put("a/b/cpu.max", "max 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 3);
	put("a/b/cpu.max", "100000 100000\n");
	cr_assert_eq(quota("0::/a/b\n"), 1);
	/* As a container sees itself: the path is the host's, the group is the root. */
	put("cpu.max", "400000 100000\n");
	cr_assert_eq(quota("0::/\n"), 4);
	cr_assert_eq(quota("0::/docker/1234\n"), 4);
	cr_assert_eq(quota("0::/../../a\n"), 4);
	remove_root();
}

Test(cpu, quota_of_version_1)
{
	make_root();
	put("cpu,cpuacct/g/cpu.cfs_quota_us", "250000\n");
	put("cpu,cpuacct/g/cpu.cfs_period_us", "100000\n");
	cr_assert_eq(quota("4:memory:/g\n3:cpu,cpuacct:/g\n0::/\n"), 3);
	cr_assert_eq(quota("4:memory:/g\n3:cpuset:/g\n"), 0);
	put("cpu,cpuacct/g/cpu.cfs_quota_us", "-1\n");
	cr_assert_eq(quota("3:cpu,cpuacct:/g\n"), 0);
	put("cpuset,cpu/cpu.cfs_quota_us", "100000\n");
	put("cpuset,cpu/cpu.cfs_period_us", "100000\n");
	cr_assert_eq(quota("3:cpuset,cpu:/g/h\n"), 1);
	remove_root();
}

Test(cpu, both_versions_side_by_side)
{
	make_root();
	put("cpu/g/cpu.cfs_quota_us", "500000\n");
	put("cpu/g/cpu.cfs_period_us", "100000\n");
	put("unified/u/cpu.max", "200000 100000\n");
	cr_assert_eq(quota("1:cpu:/g\n0::/\n"), 5);
	cr_assert_eq(quota("1:cpu:/g\n0::/u\n"), 2);
	remove_root();
}

Test(cpu, what_cannot_be_read_limits_nothing)
{
	char group[PATH_MAX + 16];

	make_root();
	put("cpu.max", "0 0\n");
	put("a/cpu.max", "");
	put("b/cpu.max", "-5 100000\n");
	put("c/cpu.max", "100000");
	put("d/cpu.max", "9999999999999999 1\n");
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
	remove_root();
}
