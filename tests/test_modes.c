/* SPDX-License-Identifier: MIT */
/*
 * Who else can get at what libmp makes: permissions of all that has a name, whatever the umask is; seals
 * of all memory that has none; and descriptors that no program inherits. SECURITY.md says the same.
 */
#include <config.h>

#include "tests/support/place.h"
#include "tests/support/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <mp.h>
#include <sys/socket.h>
#include <sys/stat.h>

T_SUITE(modes);

static const mode_t masks[] = {0, 022, 0777};
#define N_MASKS (sizeof(masks) / sizeof(masks[0]))

/* --- names ------------------------------------------------------------------------------------------ */

static void expect_mode(const char *path, mode_t type, mode_t mode)
{
	struct stat st;

	cr_assert(lstat(path, &st) == 0, "%s", path);
	cr_assert((st.st_mode & S_IFMT) == type && (st.st_mode & 07777) == mode, "%s: %o", path,
		st.st_mode);
	cr_assert(st.st_uid == geteuid());
}

static void expect_shm_mode(const char *name, mode_t mode)
{
	char path[300];

	snprintf(path, sizeof(path), "/dev/shm/mp.%s", name);
	expect_mode(path, S_IFREG, mode);
}

Test(modes, memory_with_a_name_is_for_its_user_alone_whatever_the_umask)
{
	for (size_t i = 0; i < N_MASKS; i++) {
		mp_shared_list *list;
		mp_block *block;
		mp_queue *queue;
		char name[64];
		mode_t before = umask(masks[i]);
		T_OK(mp_block_create(NULL, 100, NULL, &block));
		T_OK(mp_queue_create(NULL, NULL, &queue));
		snprintf(name, sizeof(name), "modes-%d", getpid());
		T_OK(mp_shared_list_create(name, MP_LIST(mp_i64(1)), NULL, &list));
		umask(before);
		expect_shm_mode(mp_block_name(block), 0600);
		expect_shm_mode(mp_queue_name(queue), 0600);
		expect_shm_mode(name, 0600);
		mp_shared_list_close(list);
		mp_queue_close(queue);
		mp_block_close(block);
	}
}

Test(modes, others_get_at_memory_with_a_name_only_by_its_mode)
{
	mp_block *block;
	mode_t before = umask(077);

	T_OK(mp_block_create(NULL, 100, MP_BLOCK_OPTIONS(.mode = 0640), &block));
	umask(before);
	expect_shm_mode(mp_block_name(block), 0640);
	mp_block_close(block);
}

Test(modes, sockets_of_listeners_are_for_their_user_alone_whatever_the_umask)
{
	char directory[T_PLACE_SIZE];
	char address[80];

	t_place_make(directory);
	snprintf(address, sizeof(address), "unix:%s/socket", directory);
	for (size_t i = 0; i < N_MASKS; i++) {
		mp_listener *listener;
		mode_t before = umask(masks[i]);
		T_OK(mp_listener_new(address, NULL, &listener));
		umask(before);
		expect_mode(address + sizeof("unix:") - 1, S_IFSOCK, 0600);
		mp_listener_close(listener);
		before = umask(masks[i]);
		T_OK(mp_listener_new(address, MP_LISTENER_OPTIONS(.mode = 0660), &listener));
		umask(before);
		expect_mode(address + sizeof("unix:") - 1, S_IFSOCK, 0660);
		mp_listener_close(listener);
	}
	cr_assert(rmdir(directory) == 0);
}

/* --- descriptors ------------------------------------------------------------------------------------- */

#define MEMORY "/memfd:mp-"
/* Read and written by calls that say so when it is too short, and never mapped. */
#define PAYLOAD "/memfd:mp-pool-payload (deleted)"

#define FDS 256

/* Those that are open, all of the test's runner. */
static void note_descriptors(bool there[FDS])
{
	for (int fd = 0; fd < FDS; fd++)
		there[fd] = fcntl(fd, F_GETFD) >= 0;
}

/* All others of this process; how many are memory of libmp's. */
static int look_at_descriptors(const bool before[FDS])
{
	char target[256];
	int n_memory = 0;
	DIR *dir = opendir("/proc/self/fd");

	cr_assert(dir != NULL);
	for (struct dirent *entry; (entry = readdir(dir));) {
		int fd = atoi(entry->d_name);
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (n < 0 || (fd < FDS && before[fd]) || fd == dirfd(dir))
			continue;
		target[n] = '\0';
		cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC, "%d is inherited: %s", fd, target);
		if (strncmp(target, MEMORY, strlen(MEMORY)) != 0 || strcmp(target, PAYLOAD) == 0)
			continue;
		cr_assert(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK, "%s is not sealed", target);
		n_memory++;
	}
	closedir(dir);
	return n_memory;
}

static int answer(int argc, const mp_obj *argv)
{
	(void)argv;
	return argc;
}

Test(modes, memory_without_a_name_is_sealed_and_no_descriptor_is_inherited)
{
	bool before[FDS];
	mp_connection *ends[4];
	mp_process *process;
	mp_listener *listener;
	mp_shared_list *list;
	mp_queue *queues[2];
	mp_block *block;
	mp_heap *heap;
	mp_value *value;
	mp_array *array;
	mp_event *event;
	mp_pool *pool;

	note_descriptors(before);
	T_OK(mp_event_new(NULL, &event));
	T_RESULT(mp_event_wait(event, 1), -ETIMEDOUT);
	T_OK(mp_value_new('i', NULL, NULL, &value));
	T_OK(mp_array_new('i', 1000, NULL, NULL, &array));
	T_OK(mp_block_new(100, NULL, &block));
	T_OK(mp_heap_new(1000, NULL, &heap));
	T_OK(mp_shared_list_new(MP_LIST(mp_i64(1)), NULL, &list));
	T_OK(mp_queue_new(NULL, &queues[0]));
	T_OK(mp_queue_new(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY), &queues[1]));
	T_OK(mp_connection_pair(NULL, &ends[0], &ends[1]));
	T_OK(mp_pipe(NULL, &ends[2], &ends[3]));
	T_OK(mp_listener_new(NULL, NULL, &listener));
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1), &pool));
	T_OK(mp_process_new(answer, MP_ARGS(mp_i64(1)), NULL, &process));
	T_OK(mp_process_start(process));
	/* Board, slab, block, heap, list, queue, queue with its heap, pool, pipe. */
	cr_assert_geq(look_at_descriptors(before), 9);
	T_OK(mp_process_join(process, T_TIMEOUT_MS));
	T_OK(mp_process_close(process));
	T_OK(mp_pool_close(pool));
	mp_listener_close(listener);
	for (size_t i = 0; i < 4; i++)
		mp_connection_close(ends[i]);
	mp_queue_close(queues[0]);
	mp_queue_close(queues[1]);
	mp_shared_list_close(list);
	mp_heap_close(heap);
	mp_block_close(block);
	mp_array_close(array);
	mp_value_close(value);
	mp_event_close(event);
}
