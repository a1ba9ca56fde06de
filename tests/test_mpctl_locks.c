/* SPDX-License-Identifier: MIT */
/* mpctl locks, as a person runs it beside programs that hold and wait. */
#include <config.h>

#include "tests/support/daemon.h"

#include "base/deadline.h"
#include "sync/board_layout.h"
#include "sync/waiting.h"

#include <mp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

T_SUITE(mpctl_locks);

/* More than there were cells once. */
#define MANY 300

static char output[1 << 18];

/* The exit code; what it printed is in `output`. */
static int mpctl(const char *arguments)
{
	const char *build = getenv("top_builddir");
	char command[1024];

	snprintf(command, sizeof(command), "%s/mpctl/mpctl locks %s 2>/dev/null",
		build ? build : ".", arguments);
	FILE *pipe = popen(command, "re");
	cr_assert_not_null(pipe);
	size_t n = fread(output, 1, sizeof(output) - 1, pipe);
	output[n] = '\0';
	int status = pclose(pipe);
	cr_assert(WIFEXITED(status), "mpctl was ended by a signal");
	return WEXITSTATUS(status);
}

/* Again and again, until all these are in what it prints about the process. */
static int mpctl_until(pid_t pid, const char *first, const char *second)
{
	mp__deadline deadline = mp__deadline_in(T_TIMEOUT_MS / 2);
	char arguments[64];
	int code;

	snprintf(arguments, sizeof(arguments), "--json %d", (int)pid);
	do {
		code = mpctl(arguments);
		if (strstr(output, first) && strstr(output, second))
			return code;
	} while (!mp__deadline_passed(deadline));
	cr_assert(false, "no %s and %s in:\n%s", first, second, output);
	return -1;
}

/* --- locks --------------------------------------------------------------------------------------- */

static mp_lock *apples;
static mp_lock *pears;
static mp_event *go;

static void make_locks(void)
{
	T_OK(mp_lock_new(MP_LOCK_OPTIONS(.name = "apples"), &apples));
	T_OK(mp_lock_new(MP_LOCK_OPTIONS(.name = "pears"), &pears));
	T_OK(mp_event_new(NULL, &go));
}

static void close_locks(void)
{
	mp_lock_close(apples);
	mp_lock_close(pears);
	mp_event_close(go);
}

static int take_both(mp_lock *first, mp_lock *second)
{
	T_CHECK(mp_lock_acquire(first, MP_FOREVER) >= 0);
	t_ready();
	T_CHECK(mp_event_wait(go, MP_FOREVER) == 0);
	T_CHECK(mp_lock_acquire(second, MP_FOREVER) >= 0);
	return 0;
}

static int apples_first(void *argument)
{
	(void)argument;
	return take_both(apples, pears);
}

static int pears_first(void *argument)
{
	(void)argument;
	return take_both(pears, apples);
}

Test(mpctl_locks, deadlock_of_two)
{
	make_locks();
	struct t_child a = t_spawn(apples_first, NULL);
	struct t_child b = t_spawn(pears_first, NULL);
	t_wait_ready(&a);
	t_wait_ready(&b);
	mpctl_until(a.pid, "apples", "\"held_by\":[{\"tid\":");
	cr_assert_null(strstr(output, "deadlock"));
	T_OK(mp_event_set(go));
	cr_assert_eq(mpctl_until(a.pid, "\"deadlock\":[{\"tid\":", "pears"), 3);
	cr_assert_not_null(strstr(output, "\"seconds\":"));
	/* For people, too. */
	cr_assert_eq(mpctl(""), 3);
	cr_assert(strstr(output, "deadlock:") && strstr(output, "lock 'pears'"), "%s", output);
	t_kill(&a, SIGKILL);
	t_expect_exit(&b, 0);
	close_locks();
}

Test(mpctl_locks, dead_holder)
{
	char dead[64];

	make_locks();
	struct t_child a = t_spawn(apples_first, NULL);
	t_wait_ready(&a);
	snprintf(dead, sizeof(dead), "{\"tid\":%d,", (int)a.pid);
	t_kill(&a, SIGKILL);
	mpctl("--json");
	char *at = strstr(output, dead);
	cr_assert(at && strstr(at, "\"dead\":true"), "%s", output);
	close_locks();
}

/* In memory of the program's own only who waits makes it visible. */
struct in_place {
	mp_lock lock;
	mp_event go;
};
static struct in_place *shared;

static int take_in_place(void *argument)
{
	(void)argument;
	t_ready();
	return mp_lock_acquire(&shared->lock, MP_FOREVER) < 0;
}

Test(mpctl_locks, lock_in_memory_of_the_program)
{
	char me[64];

	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(shared != MAP_FAILED);
	T_OK(mp_lock_init(&shared->lock, MP_LOCK_OPTIONS(.name = "plums")));
	T_OK(mp_lock_acquire(&shared->lock, MP_FOREVER));
	struct t_child a = t_spawn(take_in_place, NULL);
	t_wait_ready(&a);
	snprintf(me, sizeof(me), "\"held_by\":[{\"tid\":%d", (int)getpid());
	mpctl_until(a.pid, "plums", me);
	T_OK(mp_lock_release(&shared->lock));
	t_expect_exit(&a, 0);
	munmap(shared, sizeof(*shared));
}

/* --- the others ------------------------------------------------------------------------------------- */

static mp_semaphore *semaphore;
static mp_rwlock *rwlock;
static mp_queue *queue;

static int wait_for_semaphore(void *argument)
{
	(void)argument;
	return mp_semaphore_acquire(semaphore, MP_FOREVER) < 0;
}

static int wait_for_apples(void *argument)
{
	(void)argument;
	return mp_lock_acquire(apples, MP_FOREVER) < 0;
}

static void *wait_in_thread(void *argument)
{
	wait_for_apples(argument);
	return NULL;
}

static int wait_to_write(void *argument)
{
	(void)argument;
	return mp_rwlock_acquire_write(rwlock, MP_FOREVER) < 0;
}

static int wait_for_message(void *argument)
{
	mp_obj message;

	(void)argument;
	return mp_queue_get(queue, MP_FOREVER, &message) < 0;
}

/* This process holds; the child that waits is seen with it. */
static void expect_seen(int (*wait)(void *), const char *kind)
{
	char me[64];
	char who[64];

	struct t_child a = t_spawn(wait, NULL);
	snprintf(me, sizeof(me), "\"held_by\":[{\"tid\":%d", (int)getpid());
	snprintf(who, sizeof(who), "\"waited_for_by\":[{\"tid\":%d", (int)a.pid);
	cr_assert_eq(mpctl_until(a.pid, kind, who), 0);
	if (wait != wait_for_message)
		cr_assert(strstr(output, me), "%s", output);
	t_kill(&a, SIGKILL);
}

Test(mpctl_locks, semaphores_rwlocks_queues)
{
	T_OK(mp_semaphore_new(1, NULL, &semaphore));
	T_OK(mp_semaphore_acquire(semaphore, MP_FOREVER));
	expect_seen(wait_for_semaphore, "\"kind\":\"semaphore\"");
	T_OK(mp_semaphore_release(semaphore));
	mp_semaphore_close(semaphore);

	T_OK(mp_rwlock_new(NULL, &rwlock));
	T_OK(mp_rwlock_acquire_read(rwlock, MP_FOREVER));
	expect_seen(wait_to_write, "\"kind\":\"rwlock\"");
	T_OK(mp_rwlock_release_read(rwlock));
	mp_rwlock_close(rwlock);

	T_OK(mp_queue_new(MP_QUEUE_OPTIONS(.name = "mail"), &queue));
	expect_seen(wait_for_message, "\"kind\":\"queue\"");
	mp_queue_close(queue);
}

static int wait_in_many_threads(void *argument)
{
	pthread_t thread;

	(void)argument;
	for (int i = 1; i < MANY; i++)
		T_CHECK(pthread_create(&thread, NULL, wait_in_thread, NULL) == 0);
	return wait_for_apples(NULL);
}

Test(mpctl_locks, hundreds_of_waiters)
{
	mp__deadline deadline = mp__deadline_in(T_TIMEOUT_MS / 2);
	char arguments[32];
	size_t n;

	make_locks();
	T_OK(mp_lock_acquire(apples, MP_FOREVER));
	struct t_child a = t_spawn(wait_in_many_threads, NULL);
	snprintf(arguments, sizeof(arguments), "--json %d", (int)a.pid);
	do {
		mpctl(arguments);
		char *at = strstr(output, "\"waited_for_by\"");
		for (n = 0; at && (at = strstr(at, "{\"tid\"")); n++)
			at++;
	} while (n < MANY && !mp__deadline_passed(deadline));
	cr_assert_eq(n, MANY);
	t_kill(&a, SIGKILL);
	close_locks();
}

Test(mpctl_locks, killed_in_the_middle_of_a_record)
{
	char who[64];

	make_locks();
	T_OK(mp_lock_acquire(apples, MP_FOREVER));
	t_arm("waiting.half", "kill");
	struct t_child a = t_spawn(wait_in_many_threads, NULL);
	t_expect_signal(&a, SIGKILL);
	t_disarm();
	snprintf(who, sizeof(who), "{\"tid\":%d,", (int)a.pid);
	mpctl("--json");
	cr_assert_null(strstr(output, who), "%s", output);
	/* The cell is another's now. */
	expect_seen(wait_for_apples, "apples");
	close_locks();
}

/* --- since when --------------------------------------------------------------------------------------- */

/* The clock of the board goes by ticks. */
static void let_a_tick_pass(void)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &a);
	do
		clock_gettime(CLOCK_MONOTONIC_COARSE, &b);
	while (a.tv_nsec == b.tv_nsec && a.tv_sec == b.tv_sec);
}

static int64_t my_wait_since(const void *object)
{
	struct mp__board *board = mp__waiting_board();

	for (size_t i = 0; i < MP__BOARD_CELLS; i++) {
		if (atomic_load(&board->cells[i].thread) == mp__stamp_self() &&
			atomic_load(&board->cells[i].object) == (uintptr_t)object)
			return atomic_load(&board->cells[i].since_ns);
	}
	return 0;
}

Test(mpctl_locks, each_wait_has_its_own_time)
{
	int object = 0;

	mp__waiting_begin_for(&object, MP__MAGIC_QUEUE, NULL, false);
	int64_t first = my_wait_since(&object);
	mp__waiting_end();
	let_a_tick_pass();
	/* After a look around it goes on. */
	mp__waiting_begin_for(&object, MP__MAGIC_QUEUE, NULL, true);
	cr_assert_eq(my_wait_since(&object), first);
	mp__waiting_end();
	mp__waiting_begin_for(&object, MP__MAGIC_QUEUE, NULL, false);
	cr_assert_gt(my_wait_since(&object), first);
	mp__waiting_end();
}

/* --- liars ------------------------------------------------------------------------------------------- */

static int memfd_of(const char *name, const void *data, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	cr_assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	return fd;
}

Test(mpctl_locks, boards_and_slabs_of_liars)
{
	static uint64_t noise[sizeof(struct mp__board) / 8];
	uint64_t state = 1;

	for (int round = 0; t_again(round, 20); round++) {
		for (size_t i = 0; i < sizeof(noise) / 8; i++)
			noise[i] = state =
				state * UINT64_C(6364136223846793005) + 1442695040888963407u;
		noise[0] = MP__BOARD_MAGIC;
		/* Each second cell looks as if nobody were writing. */
		for (size_t i = 8; i < sizeof(noise) / 8; i += 16)
			noise[i + 1] &= ~UINT64_C(1);
		size_t size = round % 2 ? sizeof(noise) : 1000;
		int board = memfd_of(MP__BOARD_NAME, noise, size);
		noise[0] = UINT64_C(0x6d67657332706d0a);
		for (size_t i = 8; i < sizeof(noise) / 8; i += 8)
			noise[i] = i % 16 ? MP__MAGIC_SEMAPHORE : MP__MAGIC_RWLOCK;
		int slab = memfd_of("mp-slab", noise, size);
		int code = mpctl("--json");
		cr_assert(code == 0 || code == 3, "exit code %d", code);
		close(board);
		close(slab);
	}
}

Test(mpctl_locks, usage)
{
	cr_assert_eq(mpctl("--help"), 0);
	cr_assert_not_null(strstr(output, "--json"));
	cr_assert_eq(mpctl("nobody"), 2);
	cr_assert_eq(mpctl("0"), 2);
	cr_assert_eq(mpctl("1 2"), 2);
	cr_assert_eq(mpctl("--nonsense"), 2);
	cr_assert_eq(mpctl("4194305"), 1, "a pid that is none");
}

/* --- locks of a managerd ------------------------------------------------------------------------- */

#ifdef ENABLE_MANAGER

static mp_proxy *served;

static int served_first(void *argument)
{
	(void)argument;
	T_CHECK(mp_served_lock_acquire(served, MP_FOREVER, NULL) >= 0);
	t_ready();
	T_CHECK(mp_event_wait(go, MP_FOREVER) == 0);
	T_CHECK(mp_lock_acquire(apples, MP_FOREVER) >= 0);
	return 0;
}

static int served_last(void *argument)
{
	(void)argument;
	T_CHECK(mp_lock_acquire(apples, MP_FOREVER) >= 0);
	t_ready();
	T_CHECK(mp_event_wait(go, MP_FOREVER) == 0);
	T_CHECK(mp_served_lock_acquire(served, MP_FOREVER, NULL) >= 0);
	return 0;
}

/* Each knows only one half of it: neither managerd nor the board can tell. */
Test(mpctl_locks, deadlock_through_a_lock_of_managerd)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	char arguments[160];
	mp_manager *m;
	int code;

	cr_assert(setenv("MP_MANAGERD_SOCKET", daemon.path, 1) == 0);
	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &m));
	T_OK(mp_manager_lock(m, "stock 'of' apples", &served));
	make_locks();
	struct t_child a = t_spawn(served_first, NULL);
	struct t_child b = t_spawn(served_last, NULL);
	t_wait_ready(&a);
	t_wait_ready(&b);
	cr_assert_eq(
		mpctl_until(a.pid, "\"name\":\"stock 'of' apples\",\"number\":1,", "\"tid\""), 0);
	T_OK(mp_event_set(go));
	cr_assert_eq(mpctl_until(a.pid, "\"deadlock\":[{\"tid\":", "stock"), 3);
	snprintf(arguments, sizeof(arguments), "--socket %s", daemon.path);
	mp__deadline deadline = mp__deadline_in(T_TIMEOUT_MS / 2);
	do
		code = mpctl(arguments);
	while (code == 5 && !mp__deadline_passed(deadline)); /* it has little patience */
	cr_assert_eq(code, 3);
	cr_assert(
		strstr(output, "waits for lock 'stock 'of' apples' (number 1 of managerd), which"),
		"%s", output);
	t_kill(&a, SIGKILL);
	t_expect_exit(&b, 0);
	close_locks();
	mp_proxy_close(served);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
	cr_assert_eq(mpctl(arguments), 5, "%s", output);
	/* Without it, it does what it can; 3: of others, who test the same at this moment. */
	code = mpctl("");
	cr_assert(code == 0 || code == 3, "%d", code);
}

#endif
