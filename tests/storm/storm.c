/* SPDX-License-Identifier: MIT */
/*
 * The kill storm: storm [--kills N] [--seconds T] [--seed S] [--only CAPABILITY]
 * [--points PREFIX [--action kill|exit|stop]].
 *
 * Rounds of blows at random instants, until N processes have been made to end (10000 if nothing is
 * said) or T seconds are over; in builds with test points, rounds in between that let processes die
 * at each of them in turn. What is random comes from the seed: whom a blow hits, how and after which
 * time, who starts by which method, what each process does. When it does it is the kernel's choice:
 * a seed repeats the storm, not each drop of rain; a finding at a point comes again with certainty.
 */
#include <config.h>

#include "base/deadline.h"
#include "tests/storm/invariants.h"
#include "tests/storm/report.h"
#include "tests/storm/strike.h"
#include "tests/storm/tree.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KILLS 10000
#define KILLS_A_ROUND 60
/* Of a round in which somebody has to come to a point. */
#define POINT_KILLS 2
#define POINT_MS 1500
/* Who repairs comes to a point only when somebody has died: so some others die too. */
#define STRIKE_MS 40
#define NAP_MAX_NS 3000000

pid_t storm_pid;

static const char *const points[] = {
#ifdef MP_TEST_POINTS
#include "tests/storm/points.inc"
#endif
	NULL,
};

static struct {
	uint64_t kills;
	int64_t until_ms; /* 0: count kills */
	uint64_t seed;
	const char *only;
	const char *points; /* a prefix; then there is nothing random */
	const char *action; /* what is done there */
} wanted = {.kills = KILLS};

static const char *const actions[] = {"kill", "exit", "stop"};

/* --- rounds --------------------------------------------------------------------------------------------- */

static bool enough(void)
{
	for (int i = 0; i < STORM_FINDINGS; i++)
		if (storm_totals.found[i] > 0)
			return true;
	return wanted.until_ms ? storm_now_ms() >= wanted.until_ms
			       : storm_totals.kills >= wanted.kills;
}

static void blow(uint64_t seed)
{
	uint64_t random = ~seed;

	for (int i = 0; i < KILLS_A_ROUND && !atomic_load(&storm_board->failed) && !enough();) {
		(void)storm_tree_tend((long)(storm_random(&random) % NAP_MAX_NS));
		if (storm_strike(storm_random(&random))) {
			storm_totals.kills++;
			i++;
		}
		(void)storm_tree_tend(0);
	}
}

/* How many have come to the point. */
static int wait_at_point(int kills, bool stops, uint64_t random)
{
	mp__deadline deadline = mp__deadline_in(POINT_MS);
	mp__deadline strike = mp__deadline_in(STRIKE_MS);
	int times = 0;

	while (times < kills && !mp__deadline_passed(deadline) &&
		!atomic_load(&storm_board->failed)) {
		(void)storm_tree_tend(1000000);
		if (storm_fired()) {
			times++;
			storm_totals.kills += stops ? storm_end_stopped() : 1;
		} else if (mp__deadline_passed(strike)) {
			storm_totals.kills += storm_strike(storm_random(&random));
		}
	}
	return times;
}

static void end_round(const char *replay)
{
	storm_tree_end();
	storm_check_leaks();
	storm_report_round(replay);
	storm_tree_forget();
}

static void random_round(uint64_t seed)
{
	char replay[128];

	(void)storm_choose_for_point(NULL);
	storm_count_before();
	storm_tree_begin(seed);
	blow(seed);
	(void)snprintf(replay, sizeof(replay), "storm --seed %llu --kills %d%s%s",
		(unsigned long long)seed, KILLS_A_ROUND, wanted.only ? " --only " : "",
		wanted.only ? wanted.only : "");
	end_round(replay);
}

static void point_round(const char *point, const char *action, uint64_t seed)
{
	char replay[160];

	if (!storm_choose_for_point(point))
		return;
	/* The storm waits for those that start: nobody would be there to end one that stands still. */
	if (strncmp(point, "process.", 8) == 0 && strcmp(action, "stop") == 0)
		action = "kill";
	storm_count_before();
	storm_arm(point, action);
	storm_tree_begin(seed);
	bool stops = strcmp(action, "stop") == 0;
	int times = wait_at_point(POINT_KILLS, stops, seed);
	storm_disarm();
	if (stops)
		(void)storm_end_stopped();
	storm_report_point(point, action, times);
	storm_totals.at_points += (unsigned)times;
	(void)snprintf(replay, sizeof(replay), "storm --seed %llu --points %s --action %s%s%s",
		(unsigned long long)seed, point, action, wanted.only ? " --only " : "",
		wanted.only ? wanted.only : "");
	end_round(replay);
}

/* --- the whole ------------------------------------------------------------------------------------------ */

static int usage(void)
{
	(void)fprintf(stderr, "storm [--kills N] [--seconds T] [--seed S] [--only CAPABILITY] "
			      "[--points PREFIX [--action kill|exit|stop]]\ncapabilities:");
	storm_print_capabilities();
	(void)fputc('\n', stderr);
	return 2;
}

static bool read_number(const char *text, uint64_t least, uint64_t *ret)
{
	char *end;

	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || n < least)
		return false;
	*ret = n;
	return true;
}

static bool read_action(const char *text)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(text, actions[i]) == 0)
			wanted.action = actions[i];
	return wanted.action;
}

/* Else a misspelt name, or a build without test points, would look like a storm that found nothing. */
static bool is_prefix_of_points(const char *prefix)
{
	for (const char *const *p = points; *p; p++)
		if (strncmp(*p, prefix, strlen(prefix)) == 0)
			return true;
	(void)fprintf(stderr, "storm: %s '%s'\n",
		points[0] ? "no test point begins with" : "built without test points, such as",
		prefix);
	return false;
}

static bool read_arguments(int argc, char **argv)
{
	static const struct option options[] = {{"kills", 1, NULL, 'k'}, {"seconds", 1, NULL, 't'},
		{"seed", 1, NULL, 's'}, {"only", 1, NULL, 'o'}, {"points", 1, NULL, 'p'},
		{"action", 1, NULL, 'a'}, {NULL, 0, NULL, 0}};
	uint64_t seconds;
	int c;

	wanted.seed = (uint64_t)mp__now_ns() % 1000000007;
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 'k':
			if (!read_number(optarg, 1, &wanted.kills))
				return false;
			break;
		case 't':
			if (!read_number(optarg, 1, &seconds) || seconds > INT32_MAX)
				return false;
			wanted.until_ms = storm_now_ms() + (int64_t)seconds * 1000;
			break;
		case 's':
			if (!read_number(optarg, 0, &wanted.seed))
				return false;
			break;
		case 'o':
			wanted.only = optarg;
			break;
		case 'p':
			if (!is_prefix_of_points(optarg))
				return false;
			wanted.points = optarg;
			break;
		case 'a':
			if (!read_action(optarg))
				return false;
			break;
		default:
			return false;
		}
	}
	return optind == argc && (wanted.points || !wanted.action) && storm_choose(wanted.only);
}

/* The path of managerd, for who runs this by hand in a build directory. */
static void find_managerd(const char *self)
{
	char path[4096];
	const char *slash = strrchr(self, '/');

	if (getenv("MP_MANAGERD"))
		return;
	(void)snprintf(path, sizeof(path), "%.*s/../../managerd/managerd",
		slash ? (int)(slash - self) : 1, slash ? self : ".");
	setenv("MP_MANAGERD", path, 1);
}

static void only_points(void)
{
	for (const char *const *p = points; *p; p++)
		if (strncmp(*p, wanted.points, strlen(wanted.points)) == 0)
			point_round(*p, wanted.action ? wanted.action : "kill", wanted.seed);
}

static void all(void)
{
	uint64_t random = wanted.seed;
	uint64_t seed = wanted.seed;
	size_t n_points = sizeof(points) / sizeof(points[0]) - 1;
	/* So that the short storm sees others each time. */
	size_t point = n_points > 0 ? storm_random(&random) % n_points : 0;

	while (!enough()) {
		random_round(seed);
		seed = storm_random(&random) % 1000000007;
		for (int i = 0; i < 3 && n_points > 0 && !enough(); i++) {
			const char *action = actions[storm_random(&random) % 3];
			point_round(points[point++ % n_points], action, seed);
		}
	}
}

int main(int argc, char **argv)
{
	if (mp_begin(&argc, &argv) < 0)
		return STORM_FAILED;
	storm_pid = getpid();
	if (!read_arguments(argc, argv))
		return usage();
	find_managerd(argv[0]);
	storm_watch_leaks();
	printf("# seed %llu\n", (unsigned long long)wanted.seed);
	(void)fflush(stdout);
	if (wanted.points)
		only_points();
	else
		all();
	return storm_report_end();
}
