/* SPDX-License-Identifier: MIT */
/*
 * What is special about pipes over shared memory: full rings, long messages and descriptors beside
 * the ring, polling, deaths at each step, damaged memory. What all connections do is tested in
 * test_conn.c and test_conn_process.c.
 */
#include <config.h>

#include "tests/support/conns.h"

#include "conn/connection.h"
#include "conn/message.h"
#include "conn/pipe_layout.h"
#include "obj/handle.h"

#include <fcntl.h>
#include <mp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

T_SUITE(pipe);

static struct conn_pair new_pipe(void)
{
	return conn_pair(CONN_PIPE, NULL);
}

static void expect_number(mp_connection *c, int number)
{
	mp_obj got;

	T_OK(mp_connection_recv(c, T_TIMEOUT_MS, &got));
	cr_assert_eq(mp_obj_i64(&got), number, "%d came, not %d", (int)mp_obj_i64(&got), number);
	mp_obj_free(&got);
}

/* --- the ring --------------------------------------------------------------------------------- */

Test(pipe, a_full_ring_keeps_order_and_takes_no_more)
{
	struct conn_pair p = new_pipe();
	char block[5000];
	size_t size;
	int sent = 0;
	int r;

	for (;; sent++) {
		memset(block, sent, sizeof(block));
		r = mp_connection_send_bytes(p.a, block, sizeof(block), MP_NOWAIT);
		if (r < 0)
			break;
	}
	T_RESULT(r, -EAGAIN);
	T_RESULT(mp_connection_send_bytes(p.a, block, sizeof(block), 10), -ETIMEDOUT);
	cr_assert_eq(sent, MP__PIPE_RING / 5008);
	for (int i = 0; i < sent; i++) {
		T_OK(mp_connection_recv_bytes_into(p.b, block, sizeof(block), MP_NOWAIT, &size));
		cr_assert(size == sizeof(block) && block[0] == i && block[4999] == i);
	}
	T_RESULT(mp_connection_recv_bytes_into(p.b, block, sizeof(block), MP_NOWAIT, &size),
		-EAGAIN);
	conn_close(&p);
}

Test(pipe, sizes_around_the_borders)
{
	struct conn_pair p = new_pipe();
	const size_t sizes[] = {0, 1, 7, 8, 9, MP__PIPE_INLINE - 1, MP__PIPE_INLINE,
		MP__PIPE_INLINE + 1, MP__PIPE_RING - 8, MP__PIPE_RING, 200000, 3000000};
	char *block = malloc(3000000);

	for (int round = 0; round < 30; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			void *got;
			size_t size;
			memset(block, (int)i + round, sizes[i]);
			T_OK(mp_connection_send_bytes(p.a, block, sizes[i], MP_NOWAIT));
			T_OK(mp_connection_recv_bytes(p.b, MP_NOWAIT, &got, &size));
			cr_assert(size == sizes[i] && memcmp(got, block, size) == 0);
			free(got);
		}
	}
	free(block);
	conn_close(&p);
}

static void *send_numbers(void *argument)
{
	mp_connection *c = argument;

	for (int i = 0; i < 20000; i++) {
		if (mp_connection_send(c, mp_i64(i), MP_FOREVER) < 0)
			return argument;
	}
	return NULL;
}

Test(pipe, order_of_one_sender_while_both_run)
{
	struct conn_pair p = new_pipe();
	pthread_t thread;
	void *failed;

	cr_assert_eq(pthread_create(&thread, NULL, send_numbers, p.a), 0);
	for (int i = 0; i < 20000; i++)
		expect_number(p.b, i);
	pthread_join(thread, &failed);
	cr_assert_null(failed);
	conn_close(&p);
}

Test(pipe, long_messages_and_descriptors_keep_their_place)
{
	struct conn_pair p = new_pipe();
	char *block = calloc(1, 100000);
	mp_obj got;

	for (int round = 0; round < 3; round++) {
		T_OK(mp_connection_send(p.a, mp_i64(1), MP_NOWAIT));
		T_OK(mp_connection_send_bytes(p.a, block, 100000, MP_NOWAIT));
		T_OK(mp_connection_send(p.a, MP_LIST(mp_fd(0), mp_handle(p.a)), MP_NOWAIT));
		T_OK(mp_connection_send(p.a, mp_i64(2), MP_NOWAIT));
		expect_number(p.b, 1);
		T_OK(mp_connection_recv(p.b, MP_NOWAIT, &got));
		cr_assert_eq(got.count, 100000);
		mp_obj_free(&got);
		T_OK(mp_connection_recv(p.b, MP_NOWAIT, &got));
		cr_assert(mp_obj_fd(mp_obj_at(&got, 0)) >= 0);
		mp_connection *twin = mp_obj_connection(mp_obj_at(&got, 1));
		T_OK(mp_connection_send(twin, mp_i64(3), MP_NOWAIT));
		mp_obj_free(&got);
		expect_number(p.b, 2);
		expect_number(p.b, 3);
	}
	free(block);
	conn_close(&p);
}

Test(pipe, so_many_descriptors_that_the_socket_is_full)
{
	struct conn_pair p = new_pipe();
	char *block = calloc(1, 100000);
	int sent = 0;
	int r;
	void *got;
	size_t size;

	while ((r = mp_connection_send_bytes(p.a, block, 100000, MP_NOWAIT)) == 0)
		sent++;
	T_RESULT(r, -EAGAIN);
	T_RESULT(mp_connection_send_bytes(p.a, block, 100000, 10), -ETIMEDOUT);
	T_OK(mp_connection_send(p.a, mp_i64(7), MP_NOWAIT));
	for (int i = 0; i < sent; i++) {
		T_OK(mp_connection_recv_bytes(p.b, MP_NOWAIT, &got, &size));
		cr_assert_eq(size, 100000);
		free(got);
	}
	expect_number(p.b, 7);
	T_OK(mp_connection_send_bytes(p.a, block, 100000, T_TIMEOUT_MS));
	free(block);
	conn_close(&p);
}

Test(pipe, no_memory_for_a_pipe)
{
	struct rlimit before;
	mp_connection *a = NULL;
	mp_connection *b = NULL;

	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	const struct rlimit small = {100000, before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	int r = mp_pipe(NULL, &a, &b);
	setrlimit(RLIMIT_FSIZE, &before);
	T_RESULT(r, -ENOSPC);
	cr_assert(!a && !b);
}

/* --- polling ---------------------------------------------------------------------------------- */

static int readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0);
}

Test(pipe, the_descriptor_polls_while_there_is_something)
{
	struct conn_pair p = new_pipe();
	mp_obj got;

	T_OK(mp_connection_send(p.a, mp_i64(0), MP_NOWAIT));
	int fd = mp_connection_fileno(p.b);
	cr_assert(fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(mp_connection_fileno(p.b), fd);
	cr_assert_eq(readable(fd), 1, "what was sent before is seen");
	expect_number(p.b, 0);
	T_RESULT(mp_connection_recv(p.b, MP_NOWAIT, &got), -EAGAIN);
	cr_assert_eq(readable(fd), 0);
	for (int round = 1; round < 50; round++) {
		for (int i = 0; i < round; i++)
			T_OK(mp_connection_send(p.a, mp_i64(i), MP_NOWAIT));
		for (int i = 0; i < round; i++) {
			cr_assert_eq(readable(fd), 1);
			expect_number(p.b, i);
		}
		cr_assert_eq(readable(fd), 0, "after round %d", round);
	}
	mp_connection_close(p.a);
	cr_assert_eq(readable(fd), 1, "the end is seen");
	T_RESULT(mp_connection_recv(p.b, MP_NOWAIT, &got), -EPIPE);
	mp_connection_close(p.b);
}

Test(pipe, a_poller_misses_nothing_while_another_sends)
{
	struct conn_pair p = new_pipe();
	struct pollfd in = {.fd = mp_connection_fileno(p.b), .events = POLLIN};
	pthread_t thread;
	mp_obj got;
	int next = 0;

	cr_assert_eq(pthread_create(&thread, NULL, send_numbers, p.a), 0);
	while (next < 20000) {
		cr_assert_eq(poll(&in, 1, T_TIMEOUT_MS), 1, "nothing after %d", next);
		int r = mp_connection_recv(p.b, MP_NOWAIT, &got);
		if (r == -EAGAIN)
			continue;
		T_OK(r);
		cr_assert_eq(mp_obj_i64(&got), next++);
		mp_obj_free(&got);
	}
	pthread_join(thread, NULL);
	conn_close(&p);
}

/* --- ends and deaths -------------------------------------------------------------------------- */

Test(pipe, shutdown_ends_one_direction)
{
	struct conn_pair p = new_pipe();
	mp_obj got;

	T_OK(mp_connection_send(p.a, mp_i64(1), MP_NOWAIT));
	T_OK(mp_connection_shutdown(p.a));
	T_RESULT(mp_connection_shutdown(p.a), -EPIPE);
	T_RESULT(mp_connection_send(p.a, mp_i64(2), MP_NOWAIT), -EPIPE);
	expect_number(p.b, 1);
	T_RESULT(mp_connection_recv(p.b, MP_FOREVER, &got), -EPIPE);
	T_OK(mp_connection_send(p.b, mp_i64(3), MP_NOWAIT));
	expect_number(p.a, 3);
	conn_close(&p);
}

struct role {
	struct conn_pair p;
	bool big;
};

static int send_one(void *argument)
{
	struct role *role = argument;
	static char block[100000];

	mp_connection_close(role->p.b);
	T_CHECK((role->big ? mp_connection_send_bytes(role->p.a, block, sizeof(block), MP_NOWAIT)
			   : mp_connection_send_bytes(role->p.a, "12", 2, MP_NOWAIT)) == 0);
	t_ready();
	t_hang();
}

static int receive_one(void *argument)
{
	struct role *role = argument;
	void *got;
	size_t size;

	mp_connection_close(role->p.a);
	T_CHECK(mp_connection_recv_bytes(role->p.b, T_TIMEOUT_MS, &got, &size) == 0);
	free(got);
	t_ready();
	t_hang();
}

/* A second holder of the same end must go on whatever the first died of; `there`: it was sent. */
static void killed_sender(const char *point, bool big, bool there, const char *action)
{
	struct role role = {new_pipe(), big};
	void *got;
	size_t size;

	t_arm(point, action);
	struct t_child child = t_spawn(send_one, &role);
	while (strcmp(action, "stop") == 0 && !t_fired())
		sched_yield();
	if (strcmp(action, "exit") == 0)
		t_expect_exit(&child, 86);
	else if (strcmp(action, "kill") == 0)
		t_expect_signal(&child, SIGKILL);
	else
		t_kill(&child, SIGKILL);
	cr_assert(t_fired(), "%s was not reached", point);
	t_disarm();
	if (there) {
		T_OK(mp_connection_recv_bytes(role.p.b, T_TIMEOUT_MS, &got, &size));
		cr_assert_eq(size, big ? 100000 : 2);
		free(got);
	}
	T_OK(mp_connection_send(role.p.a, mp_i64(5), T_TIMEOUT_MS));
	T_OK(mp_connection_send_bytes(role.p.a, "x", 1, T_TIMEOUT_MS));
	expect_number(role.p.b, 5);
	T_OK(mp_connection_recv_bytes(role.p.b, T_TIMEOUT_MS, &got, &size));
	cr_assert_eq(size, 1);
	free(got);
	char *block = calloc(1, 50000);
	T_OK(mp_connection_send_bytes(role.p.a, block, 50000, T_TIMEOUT_MS));
	T_OK(mp_connection_recv_bytes(role.p.b, T_TIMEOUT_MS, &got, &size));
	cr_assert_eq(size, 50000, "the dead one's message came instead");
	free(got);
	free(block);
	mp_connection_close(role.p.a);
	mp_obj end;
	T_RESULT(mp_connection_recv(role.p.b, T_TIMEOUT_MS, &end), -EPIPE);
	mp_connection_close(role.p.b);
}

#define SENDER(name, point, big, there)                   \
	Test(pipe, name##_killed)                         \
	{                                                 \
		killed_sender(point, big, there, "kill"); \
	}                                                 \
	Test(pipe, name##_stopped_then_killed)            \
	{                                                 \
		killed_sender(point, big, there, "stop"); \
	}                                                 \
	Test(pipe, name##_exit)                           \
	{                                                 \
		killed_sender(point, big, there, "exit"); \
	}

SENDER(sender_before_the_commit, "pipe.send.put", false, false)
SENDER(sender_of_a_long_message_before_it_left, "pipe.send.put", true, false)
SENDER(sender_of_a_long_message_that_has_left, "pipe.send.posted", true, false)
SENDER(sender_at_the_commit, "pipe.send.commit", false, false)
SENDER(sender_after_the_commit, "pipe.send.committed", false, true)
SENDER(sender_of_a_long_message_after_the_commit, "pipe.send.committed", true, true)

/* `again`: the message is still there for the next one. */
static void killed_receiver(const char *point, bool big, bool again)
{
	struct role role = {new_pipe(), big};
	char *block = calloc(1, 100000);
	void *got;
	size_t size;

	T_OK(mp_connection_send_bytes(role.p.a, block, big ? 100000 : 2, MP_NOWAIT));
	T_OK(mp_connection_send(role.p.a, mp_i64(6), MP_NOWAIT));
	t_arm(point, "kill");
	struct t_child child = t_spawn(receive_one, &role);
	t_expect_signal(&child, SIGKILL);
	cr_assert(t_fired());
	t_disarm();
	if (again) {
		T_OK(mp_connection_recv_bytes(role.p.b, T_TIMEOUT_MS, &got, &size));
		cr_assert_eq(size, 2);
		free(got);
	}
	expect_number(role.p.b, 6);
	free(block);
	conn_close(&role.p);
}

Test(pipe, receiver_killed_before_it_took)
{
	killed_receiver("pipe.take", false, true);
}

Test(pipe, receiver_of_a_long_message_killed_before_it_took)
{
	killed_receiver("pipe.take", true, false);
}

Test(pipe, receiver_killed_when_it_had_taken)
{
	killed_receiver("pipe.taken", false, false);
}

Test(pipe, pollers_go_on_after_a_killed_sender)
{
	struct role role = {new_pipe(), false};
	int fd = mp_connection_fileno(role.p.b);
	mp_obj got;

	T_RESULT(mp_connection_recv(role.p.b, MP_NOWAIT, &got), -EAGAIN);
	t_arm("pipe.send.commit", "kill");
	struct t_child child = t_spawn(send_one, &role);
	t_expect_signal(&child, SIGKILL);
	t_disarm();
	/* The wake was sent, the message was not: it polls readable once, in vain. */
	cr_assert_eq(readable(fd), 1);
	T_RESULT(mp_connection_recv(role.p.b, MP_NOWAIT, &got), -EAGAIN);
	cr_assert_eq(readable(fd), 0);
	t_arm("pipe.send.committed", "kill");
	child = t_spawn(send_one, &role);
	t_expect_signal(&child, SIGKILL);
	t_disarm();
	cr_assert_eq(readable(fd), 1);
	T_OK(mp_connection_recv(role.p.b, MP_NOWAIT, &got));
	mp_obj_free(&got);
	T_RESULT(mp_connection_recv(role.p.b, MP_NOWAIT, &got), -EAGAIN);
	cr_assert_eq(readable(fd), 0);
	conn_close(&role.p);
}

static int wait_for_end(void *argument)
{
	struct role *role = argument;
	mp_obj got;

	mp_connection_close(role->p.a);
	t_ready();
	return mp_connection_recv(role->p.b, MP_FOREVER, &got) == -EPIPE ? 0 : 1;
}

Test(pipe, who_waits_learns_of_the_end)
{
	struct role role = {new_pipe(), false};
	struct t_child child = t_spawn(wait_for_end, &role);

	mp_connection_close(role.p.b);
	t_wait_ready(&child);
	mp_connection_close(role.p.a);
	t_expect_exit(&child, 0);
}

Test(pipe, sending_to_the_dead)
{
	struct role role = {new_pipe(), false};
	struct t_child child = t_spawn(wait_for_end, &role);
	int sent = 0;

	mp_connection_close(role.p.b);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	while (mp_connection_send(role.p.a, mp_nil(), T_TIMEOUT_MS) == 0)
		sent++;
	cr_assert_leq(sent, 1, "%d messages went to nobody", sent);
	T_RESULT(mp_connection_send(role.p.a, mp_nil(), MP_FOREVER), -EPIPE);
	mp_connection_close(role.p.a);
}

/* --- damaged memory --------------------------------------------------------------------------- */

static struct mp__pipe_layout *memory_of(mp_connection *c)
{
	struct mp__handle_wire wire;
	struct mp__handle *handle = (struct mp__handle *)c;

	T_OK(handle->class->export(handle, &wire));
	void *memory = mmap(NULL, sizeof(struct mp__pipe_layout), PROT_READ | PROT_WRITE,
		MAP_SHARED, wire.fds[0], 0);
	cr_assert(memory != MAP_FAILED);
	return memory;
}

Test(pipe, positions_that_cannot_be)
{
	const uint64_t tails[] = {MP__PIPE_RING + 8, 4, UINT64_MAX - 7};
	mp_obj got;

	for (size_t i = 0; i < 3; i++) {
		struct conn_pair p = new_pipe();
		struct mp__pipe_layout *memory = memory_of(p.a);
		atomic_store(&memory->rings[0].tail, tails[i]);
		T_RESULT(mp_connection_recv(p.b, MP_NOWAIT, &got), -EBADMSG);
		T_RESULT(mp_connection_send(p.a, mp_nil(), MP_NOWAIT), -EBADMSG);
		T_OK(mp_connection_send(p.b, mp_i64(1), MP_NOWAIT));
		expect_number(p.a, 1);
		munmap(memory, sizeof(*memory));
		conn_close(&p);
	}
}

Test(pipe, garbage_is_an_error_at_most)
{
	uint64_t seed = 1;
	mp_obj got;

	for (int round = 0; round < 2000; round++) {
		struct conn_pair p = new_pipe();
		struct mp__pipe_layout *memory = memory_of(p.a);
		uint64_t *words = (uint64_t *)memory->bytes[0];
		for (int i = 0; i < 32; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			words[i] = seed >> (seed >> 58);
		}
		atomic_store(&memory->rings[0].tail, (seed >> 20) % MP__PIPE_RING & ~UINT64_C(7));
		for (int i = 0; i < 40; i++) {
			if (mp_connection_recv(p.b, MP_NOWAIT, &got) == 0)
				mp_obj_free(&got);
		}
		munmap(memory, sizeof(*memory));
		conn_close(&p);
	}
}

/* --- floods ------------------------------------------------------------------------------------ */

struct flood {
	struct mp__pipe_layout *memory;
	int fd;
	struct mp__head head;
	bool records;
};

/* As fast as it can: packets that are no messages, and records that name none. */
static int pour(void *argument)
{
	struct flood *f = argument;
	struct mp__pipe_ring *ring = &f->memory->rings[0];
	const uint64_t record =
		20000 | (uint64_t)(MP__MESSAGE_BYTES | MP__PIPE_OUTSIDE) << 40 | UINT64_C(77) << 48;
	uint8_t head[MP__HEAD_SIZE];

	mp__head_write(head, &f->head);
	t_ready();
	while (getppid() > 1) {
		(void)send(f->fd, head, sizeof(head), MSG_DONTWAIT | MSG_NOSIGNAL);
		uint64_t tail = atomic_load(&ring->tail);
		if (f->records && tail - atomic_load(&ring->head) < MP__PIPE_RING) {
			memcpy(f->memory->bytes[0] + tail % MP__PIPE_RING, &record, sizeof(record));
			atomic_store(&ring->tail, tail + 8);
		}
	}
	return 0;
}

static void withstand(struct mp__head head, bool records)
{
	struct conn_pair p = new_pipe();
	struct mp__handle_wire wire;
	struct mp__handle *handle = (struct mp__handle *)p.a;
	mp_obj got;

	T_OK(handle->class->export(handle, &wire));
	struct flood flood = {memory_of(p.a), wire.fds[1], head, records};
	cr_assert_geq(mp_connection_fileno(p.b), 0);
	struct t_child child = t_spawn(pour, &flood);
	t_wait_ready(&child);
	mp_waitable item = MP_WAIT(p.b);
	for (int i = 0; i < 20; i++) {
		int r = mp_connection_recv(p.b, i % 2 * 20, &got);
		cr_assert(r == -ETIMEDOUT || r == -EAGAIN || r == -EBADMSG, "%d", r);
		cr_assert_geq(mp_connection_poll(p.b, i % 2 * 20), 0);
		cr_assert_geq(mp_wait(&item, 1, i % 2 * 20), 0);
	}
	t_kill(&child, SIGKILL);
	munmap(flood.memory, sizeof(*flood.memory));
	conn_close(&p);
}

Test(pipe, a_flood_of_wakes_holds_nobody_beyond_his_deadline)
{
	withstand((struct mp__head){.kind = MP__MESSAGE_WAKE}, false);
}

Test(pipe, a_flood_of_messages_that_no_record_names)
{
	withstand((struct mp__head){.kind = MP__MESSAGE_BYTES}, true);
}

Test(pipe, a_flood_of_nonsense)
{
	withstand((struct mp__head){.kind = 99}, true);
}
