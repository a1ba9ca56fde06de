/* SPDX-License-Identifier: MIT */
/* Many at once: hundreds of descriptors for one child, a thousand children. */
#include <config.h>

#include "tests/support/starts.h"

#include "base/cleanup.h"
#include "process/forkserver.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

T_SUITE(many);

/* --- descriptors ----------------------------------------------------------------------------------- */

#define N_FDS 600
#define N_PLACES 300
#define FIRST_PLACE 1000

static struct rlimit limit_before;

/* The highest number of open files that is allowed, or the test is skipped. */
static void allow_files(rlim_t n)
{
	cr_assert(getrlimit(RLIMIT_NOFILE, &limit_before) == 0);
	struct rlimit more = limit_before;
	if (more.rlim_max < n)
		more.rlim_max = n;
	more.rlim_cur = n;
	if (setrlimit(RLIMIT_NOFILE, &more) < 0)
		cr_skip_test("no more than %ju open files allowed", (uintmax_t)more.rlim_max);
}

static void limit_files(rlim_t n)
{
	struct rlimit limit;

	T_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = n;
	T_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* Each can be told from all others: it holds its index. */
static void make_files(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fds[i] = memfd_create("numbered", MFD_CLOEXEC);
		T_CHECK(fds[i] >= 0 && pwrite(fds[i], &i, sizeof(i), 0) == sizeof(i));
	}
}

static bool has_index(int fd, size_t index)
{
	size_t found = SIZE_MAX;

	return pread(fd, &found, sizeof(found), 0) == sizeof(found) && found == index;
}

static int check_files(int argc, const mp_obj *argv)
{
	T_CHECK(argc == N_FDS);
	for (int i = 0; i < argc; i++) {
		T_CHECK(has_index(mp_obj_fd(&argv[i]), (size_t)i));
		T_CHECK(fcntl(mp_obj_fd(&argv[i]), F_GETFD) == FD_CLOEXEC);
	}
	return 5;
}

EACH_METHOD_AND_THREAD(many, test_large_fd_transfer)
{
	int fds[N_FDS];
	mp_obj args[N_FDS];

	allow_files(4000);
	make_files(fds, N_FDS);
	for (size_t i = 0; i < N_FDS; i++)
		args[i] = mp_fd(fds[i]);
	int used = t_count_fds();
	finish(start(check_files, mp_list_of(args, N_FDS), BY(method)), 5);
	mp__forkserver_stop();
	cr_assert_eq(t_count_fds(), used);
	mp__fds_close(fds, N_FDS);
}

static int check_places(int argc, const mp_obj *argv)
{
	T_CHECK(argc == N_FDS);
	for (int i = 0; i < N_PLACES; i++)
		T_CHECK(has_index(FIRST_PLACE + i, (size_t)i));
	return check_files(argc, argv);
}

/* The numbers lie where the other descriptors arrive. */
EACH_METHOD(many, descriptors_at_numbers_beside_those_in_arguments)
{
	int fds[N_FDS];
	mp_obj args[N_FDS];
	mp_process_fd places[N_PLACES];

	allow_files(4000);
	make_files(fds, N_FDS);
	for (size_t i = 0; i < N_FDS; i++)
		args[i] = mp_fd(fds[i]);
	for (int i = 0; i < N_PLACES; i++)
		places[i] = (mp_process_fd){.here = fds[i], .there = FIRST_PLACE + i};
	mp_process *p = start(check_places, mp_list_of(args, N_FDS),
		MP_PROCESS_OPTIONS(.start_method = method, .fds = places,
			.n_fds = MP__COUNT_OF(places)));
	finish(p, 5);
	mp__fds_close(fds, N_FDS);
}

/* The preload function's, with the server's own socket. */
static int files_at_preload(int argc, const mp_obj *argv)
{
	return check_files(argc, argv) == 5 ? 0 : -EIO;
}

Test(many, descriptors_for_a_preload_function)
{
	int fds[N_FDS];
	mp_obj args[N_FDS];

	allow_files(4000);
	make_files(fds, N_FDS);
	for (size_t i = 0; i < N_FDS; i++)
		args[i] = mp_fd(fds[i]);
	T_OK(mp_forkserver_preload(files_at_preload, mp_list_of(args, N_FDS)));
	finish(start(return_it, MP_ARGS(mp_i64(5)), BY(MP_START_FORKSERVER)), 5);
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
	mp__forkserver_stop();
	mp__fds_close(fds, N_FDS);
}

/* Here all are open already, and low numbers free; the child may have fewer than it is sent. */
static void start_without_room(int method, rlim_t room)
{
	int low[64];
	int fds[N_FDS];
	mp_obj args[N_FDS];
	mp_process *p;

	allow_files(4000);
	for (size_t i = 0; i < MP__COUNT_OF(low); i++)
		low[i] = mp__fd_dup(0);
	make_files(fds, N_FDS);
	for (size_t i = 0; i < N_FDS; i++)
		args[i] = mp_fd(fds[i]);
	T_OK(mp_process_new(check_files, mp_list_of(args, N_FDS), BY(method), &p));
	mp__fds_close(low, MP__COUNT_OF(low));
	int used = t_count_fds();
	limit_files(room);
	for (int i = 0; i < 2; i++) {
		T_RESULT(mp_process_start(p), -EMFILE);
		T_RESULT(mp_process_pid(p), -EINVAL);
	}
	mp__forkserver_stop();
	cr_assert_eq(t_count_fds(), used);
	limit_files(4000);
	T_OK(mp_process_start(p));
	finish(p, 5);
	mp__forkserver_stop(); /* the next one shall have the limit of its time */
	mp__fds_close(fds, N_FDS);
}

Test(many, spawned_child_without_room_for_descriptors)
{
	start_without_room(MP_START_SPAWN, 400);
	start_without_room(MP_START_SPAWN, 100);
}

Test(many, forkserver_child_without_room_for_descriptors)
{
	start_without_room(MP_START_FORKSERVER, 400);
	start_without_room(MP_START_FORKSERVER, 100);
}

/* What root is spared: as many descriptors under way as files may be open. */
static int start_with_too_many_under_way(void *arg)
{
	int method = (int)(intptr_t)arg;
	int low[64];
	int fds[N_FDS];
	mp_obj args[N_FDS];
	mp_process *p;

	T_CHECK(getuid() != 0 || setuid(65534) == 0);
	for (size_t i = 0; i < MP__COUNT_OF(low); i++)
		low[i] = mp__fd_dup(0);
	make_files(fds, N_FDS);
	for (size_t i = 0; i < N_FDS; i++)
		args[i] = mp_fd(fds[i]);
	T_CHECK(mp_process_new(check_files, mp_list_of(args, N_FDS), BY(method), &p) == 0);
	mp__fds_close(low, MP__COUNT_OF(low));
	int used = t_count_fds();
	limit_files(300);
	T_CHECK(mp_process_start(p) == -ETOOMANYREFS);
	T_CHECK(mp_process_pid(p) == -EINVAL);
	T_CHECK(t_count_fds() == used);
	T_CHECK(mp_process_close(p) == 0);
	return 0;
}

Test(many, too_many_descriptors_under_way)
{
	allow_files(4000);
	struct t_child child =
		t_spawn(start_with_too_many_under_way, (void *)(intptr_t)MP_START_SPAWN);

	t_expect_exit(&child, 0);
}

/* More than a socket takes. */
Test(many, descriptors_up_to_the_limit)
{
	const size_t n = 60000;
	mp_process *p;

	allow_files(2 * n + 1000);
	MP__AUTO_FREE mp_obj *args = calloc(n, sizeof(*args));
	for (size_t i = 0; i < n; i++)
		args[i] = mp_fd(0);
	int used = t_count_fds();
	T_OK(mp_process_new(return_it, mp_list_of(args, n), BY(MP_START_SPAWN), &p));
	T_RESULT(mp_process_start(p), -EMSGSIZE);
	T_OK(mp_process_close(p));
	cr_assert_eq(t_count_fds(), used);
}

/* --- children -------------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define N_CHILDREN 100 /* each is many times as large */
#else
#define N_CHILDREN 1000
#endif

/* All live at once: each waits for the end of one pipe. */
static int wait_for_the_end(int argc, const mp_obj *argv)
{
	char byte;

	T_CHECK(argc == 2 && read(mp_obj_fd(&argv[0]), &byte, 1) == 0);
	return (int)mp_obj_i64(&argv[1]);
}

static void start_a_thousand(int method)
{
	static mp_process *p[N_CHILDREN];
	int go[2];
	int n;

	allow_files(4000);
	cr_assert(pipe2(go, O_CLOEXEC) == 0);
	for (n = 0; t_again(n, N_CHILDREN); n++) {
		T_OK(mp_process_new(wait_for_the_end, MP_ARGS(mp_fd(go[0]), mp_i64(n % 100)),
			BY(method), &p[n]));
		T_OK(mp_process_start(p[n]));
	}
	T_RESULT(mp_process_children(NULL, 0), n);
	close(go[1]);
	for (int i = 0; i < n; i++)
		finish(p[i], i % 100);
	T_RESULT(mp_process_children(NULL, 0), 0);
	close(go[0]);
	mp__forkserver_stop();
}

Test(many, forkserver_children_live_at_once)
{
	start_a_thousand(MP_START_FORKSERVER);
}

Test(many, spawned_children_live_at_once)
{
	start_a_thousand(MP_START_SPAWN);
}

/* These inherit all descriptors: they are killed. */
Test(many, forked_children_live_at_once)
{
	static mp_process *p[N_CHILDREN];
	int n;

	allow_files(4000);
	for (n = 0; t_again(n, N_CHILDREN); n++)
		p[n] = start(hang, mp_nil(), BY(MP_START_FORK));
	T_RESULT(mp_process_children(NULL, 0), n);
	for (int i = 0; i < n; i++)
		T_OK(mp_process_kill(p[i]));
	for (int i = 0; i < n; i++)
		finish(p[i], -SIGKILL);
}
