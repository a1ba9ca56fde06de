/* SPDX-License-Identifier: MIT */
/*
 * managerd under pipelined load, without libmp's client: that one has no call that sends a request
 * and does not wait for the answer. Speaks the protocol itself (proto/manager.proto).
 */
#include <config.h>

#include "bench/bench.h"

#include "proto/manager.pb-c.h"
#include "wire/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <mp/obj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct served {
	char directory[BENCH_DIRECTORY_SIZE];
	char path[80];
	pid_t pid;
	struct bench_load *load;
	struct bench_idle *idle;
};

static int server_start(struct served *s)
{
	const char *chosen = getenv("MP_MANAGERD");
	const char *program = chosen && *chosen ? chosen : BENCH_MANAGERD;
	char listen[100], ready[16], byte;
	int fds[2];

	if (pipe(fds) < 0)
		return bench_fail("pipe: %s", strerror(errno));
	snprintf(listen, sizeof(listen), "unix:%s", s->path);
	snprintf(ready, sizeof(ready), "%d", fds[1]);
	s->pid = bench_fork();
	if (s->pid == 0) {
		close(fds[0]);
		execl(program, program, "--listen", listen, "--ready-fd", ready,
			"--max-connections", "10100", (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	int r = s->pid > 0 && read(fds[0], &byte, 1) == 1 ? 0 : -1;
	close(fds[0]);
	return r < 0 ? bench_fail("%s does not start", program) : 0;
}

/* One request and its response, not pipelined: for what comes before the load. */
static int call(int fd, Mp__Request *request, Mp__Response **ret_response)
{
	struct mp__buffer buffer = {0};
	uint8_t header[MP__FRAME_HEADER], message[512];

	request->id = 1;
	int r = mp__frame_append(&buffer, &request->base, sizeof(message));
	if (r == 0)
		r = bench_write(fd, mp__buffer_at(&buffer), mp__buffer_size(&buffer));
	mp__buffer_free(&buffer);
	if (r < 0 || bench_read(fd, header, sizeof(header)) < 0)
		return -1;
	size_t size = header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16;
	if (size > sizeof(message) || header[3] || bench_read(fd, message, size) < 0)
		return bench_fail("a response that is too long");
	Mp__Response *response = mp__response__unpack(NULL, size, message);
	if (!response || response->code != MP__CODE__OK) {
		r = bench_fail("managerd: %s", response ? response->detail : "no response");
		if (response)
			mp__response__free_unpacked(response, NULL);
		return r;
	}
	*ret_response = response;
	return 0;
}

static int call_hello(int fd)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Hello hello = MP__HELLO__INIT;
	Mp__Response *response;

	hello.version = MP__PROTOCOL_VERSION;
	hello.program = (char *)"mpbench";
	request.op_case = MP__REQUEST__OP_HELLO;
	request.hello = &hello;
	if (call(fd, &request, &response) < 0)
		return -1;
	mp__response__free_unpacked(response, NULL);
	return 0;
}

static int call_open(int fd, uint64_t *ret_reference)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Open open = MP__OPEN__INIT;
	Mp__Response *response;

	open.type = MP__OBJECT_TYPE__DICT;
	open.name = (ProtobufCBinaryData){5, (uint8_t *)"bench"};
	request.op_case = MP__REQUEST__OP_OPEN;
	request.open = &open;
	if (call(fd, &request, &response) < 0)
		return -1;
	*ret_reference = response->opened->reference;
	mp__response__free_unpacked(response, NULL);
	return 0;
}

static int fill(int fd, uint64_t reference)
{
	for (unsigned i = 0; i < BENCH_KEYS; i++) {
		Mp__Request request = MP__REQUEST__INIT;
		Mp__DictSet set = MP__DICT_SET__INIT;
		Mp__Response *response;
		void *key, *value;

		if (mp_obj_encode(mp_str(bench_key(i)), &key, &set.key.len) < 0 ||
			mp_obj_encode(mp_bytes(bench_value(), BENCH_VALUE_SIZE), &value,
				&set.value.len) < 0)
			return bench_fail("out of memory");
		set.reference = reference;
		set.key.data = key;
		set.value.data = value;
		request.op_case = MP__REQUEST__OP_DICT_SET;
		request.dict_set = &set;
		int r = call(fd, &request, &response);
		free(key);
		free(value);
		if (r < 0)
			return r;
		mp__response__free_unpacked(response, NULL);
	}
	return 0;
}

static int append_get(struct mp__buffer *batch, uint64_t reference, uint64_t id, unsigned i)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictGet get = MP__DICT_GET__INIT;
	void *key;

	if (mp_obj_encode(mp_str(bench_key(i)), &key, &get.key.len) < 0)
		return bench_fail("out of memory");
	get.reference = reference;
	get.key.data = key;
	request.id = id;
	request.op_case = MP__REQUEST__OP_DICT_GET;
	request.dict_get = &get;
	int r = mp__frame_append(batch, &request.base, MP__FRAME_FIRST_MAX);
	free(key);
	return r < 0 ? bench_fail("out of memory") : 0;
}

/* A response with a value is longer than the value, and one with an error has no value in it. */
static int reply(const uint8_t *data, size_t size)
{
	size_t length;
	int r = mp__frame_next(data, size, 4096, &length);

	if (r <= 0)
		return r;
	const uint8_t *end = data + MP__FRAME_HEADER + length;
	if (length < BENCH_VALUE_SIZE ||
		memcmp(end - BENCH_VALUE_SIZE, bench_value(), BENCH_VALUE_SIZE) != 0)
		return -1;
	return (int)(MP__FRAME_HEADER + length);
}

/* A connection that has said hello. */
static int connect_idle(void *arg)
{
	struct served *s = arg;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, s->path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		bench_fail("%s: %s", s->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (call_hello(fd) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int connect_client(struct served *s, int *ret_fd, uint64_t *ret_reference)
{
	int fd = connect_idle(s);

	if (fd < 0)
		return -1;
	if (call_open(fd, ret_reference) < 0) {
		close(fd);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}

static int add_client(struct served *s, int index)
{
	struct mp__buffer batch = {0};
	uint64_t reference;
	int fd;
	int r = connect_client(s, &fd, &reference);

	if (r < 0)
		return r;
	if (index == 0)
		r = fill(fd, reference);
	for (unsigned i = 0; r == 0 && i < BENCH_PIPELINE; i++)
		r = append_get(&batch, reference, i + 1, bench_pipeline_key(index, i));
	if (r == 0)
		r = bench_load_add(s->load, fd, mp__buffer_at(&batch), mp__buffer_size(&batch));
	else
		close(fd);
	mp__buffer_free(&batch);
	return r;
}

static void teardown(struct bench *b)
{
	struct served *s = b->state;

	bench_load_free(s->load);
	bench_idle_close(s->idle);
	bench_reap(s->pid);
	unlink(s->path);
	rmdir(s->directory);
	free(s);
}

static int setup_directory(struct bench *b)
{
	struct served *s = calloc(1, sizeof(*s));

	if (!s)
		return bench_fail("out of memory");
	if (bench_directory(s->directory) < 0) {
		free(s);
		return -1;
	}
	snprintf(s->path, sizeof(s->path), "%s/socket", s->directory);
	b->state = s;
	return 0;
}

/* variant: whether many others are connected, and idle */
static int setup(struct bench *b)
{
	if (setup_directory(b) < 0)
		return -1;
	struct served *s = b->state;
	int r = b->variant ? bench_files() : 0;
	if (r == 0)
		r = bench_load_new(reply, &s->load);
	if (r == 0)
		r = server_start(s);
	if (r == 0 && b->variant)
		r = bench_idle_open(connect_idle, s, &s->idle);
	for (int i = 0; r == 0 && i < BENCH_CLIENTS; i++)
		r = add_client(s, i);
	if (r < 0)
		teardown(b);
	return r;
}

static int run(struct bench *b, double *ret_value)
{
	struct served *s = b->state;
	return bench_load_round(s->load, ret_value);
}

/* A server of its own each time, so that none finds the memory of an earlier round. */
static int run_idle(struct bench *b, double *ret_value)
{
	struct served *s = b->state;
	int r = bench_files();

	if (r == 0)
		r = server_start(s);
	if (r == 0)
		r = bench_idle_memory(s->pid, connect_idle, s, ret_value);
	bench_reap(s->pid);
	unlink(s->path);
	s->pid = 0;
	return r;
}

int main(int argc, char **argv)
{
	static const struct bench benches[] = {
		{"manager_get_50_p16", "libmp", setup, run, teardown, 0, NULL},
		{"manager_get_50_p16_idle", "libmp", setup, run, teardown, 1, NULL},
		{"manager_idle", "libmp", setup_directory, run_idle, teardown, 0, NULL},
		{NULL, NULL, NULL, NULL, NULL, 0, NULL},
	};

	return bench_peer_main(argc, argv, benches);
}
