/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/named.h"

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"

#include <fcntl.h>
#include <mp/block.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#define MODE_DEFAULT 0600u
#define DOOR_MS 2000
#define NAP_NS 1000000

int mp__named_path(const char *name, char path[MP__NAMED_PATH_SIZE], const char **ret_name)
{
	const char *plain = name && name[0] == '/' ? name + 1 : name;

	if (!plain || plain[0] == '\0' || strchr(plain, '/'))
		return mp_error_set(
			-EINVAL, "the name of shared memory is NULL, empty or has a slash inside");
	if (strlen(plain) > MP_BLOCK_NAME_MAX)
		return mp_error_set(-ENAMETOOLONG,
			"the name of shared memory has %zu bytes, more than %d", strlen(plain),
			MP_BLOCK_NAME_MAX);
	snprintf(path, MP__NAMED_PATH_SIZE, MP__NAMED_DIR MP__NAMED_PREFIX "%s", plain);
	if (ret_name)
		*ret_name = plain;
	return 0;
}

static int failed(const char *verb, const char *path)
{
	/* Who may not is told the same, by whichever system call he was stopped. */
	int r = errno == EPERM ? -EACCES : -errno;

	return mp_error_set(r, "%s %s: %s", verb, path, strerrordesc_np(-r));
}

/* --- users and the door ------------------------------------------------------------------------ */

/* One user more: this open file. */
static int use(int fd, const char *path)
{
	struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &l) < 0 ? failed("using", path) : 0;
}

/* By others than this open file. If it cannot be found out, it is. */
static bool is_used(int fd)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

	return fcntl(fd, F_OFD_GETLK, &l) < 0 || l.l_type != F_UNLCK;
}

static int enter(int fd, const char *path)
{
	mp__deadline deadline = mp__deadline_in(DOOR_MS);

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return failed("locking", path);
		if (mp__deadline_passed(deadline))
			return mp_error_set(-EBUSY,
				"%s: another process is stopped in the middle of opening or "
				"removing it; let it go on, or kill it",
				path);
		nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
	}
	return 0;
}

/*
 * Unlock by hand, not by closing: a child that another thread forks just now has a copy of the
 * descriptor, and would keep the door shut.
 */
static void leave(int fd)
{
	flock(fd, LOCK_UN);
}

static bool leads_to(const char *path, int fd)
{
	struct stat by_name;
	struct stat by_fd;

	return lstat(path, &by_name) == 0 && fstat(fd, &by_fd) == 0 &&
	       by_name.st_ino == by_fd.st_ino && by_name.st_dev == by_fd.st_dev;
}

static bool persists(int fd, struct mp__block_header *header)
{
	return pread(fd, header, sizeof(*header), 0) != (ssize_t)sizeof(*header) ||
	       header->segment.magic != MP__SEGMENT_MAGIC || (header->flags & MP__BLOCK_PERSIST);
}

int mp__named_is_leftover(int fd, struct mp__block_header *ret_header)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 0 &&
	       !persists(fd, ret_header) && !is_used(fd);
}

/* O_NONBLOCK: what stands there may be a FIFO. */
static int open_to_look(const char *path)
{
	return mp__fd_above_std(open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

/* --- making ------------------------------------------------------------------------------------ */

int mp__named_check_mode(unsigned int mode)
{
	if ((mode & ~0777u) || (mode && (mode & 0600) != 0600))
		return mp_error_set(
			-EINVAL, "mode %03o: the owner must be able to read and write", mode);
	return 0;
}

void mp__named_describe(struct mp__block_header *header, bool persist)
{
	struct timespec now;
	char program[MP__BLOCK_PROGRAM_SIZE] = "";

	clock_gettime(CLOCK_REALTIME, &now);
	prctl(PR_GET_NAME, program);
	header->flags = persist ? MP__BLOCK_PERSIST : 0;
	header->created_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	header->creator = getpid();
	memcpy(header->program, program, sizeof(header->program));
}

int mp__named_file(unsigned int mode)
{
	MP__AUTO_CLOSE int fd =
		mp__fd_above_std(open(MP__NAMED_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));

	if (fd < 0)
		return failed("making a file in", MP__NAMED_DIR);
	if (fchmod(fd, mode ? mode : MODE_DEFAULT) < 0)
		return mp__error_errno("setting the mode of shared memory");
	return MP__TAKE_FD(fd);
}

int mp__named_link(int fd, const char *path)
{
	char from[32];
	int r = use(fd, path);

	if (r < 0)
		return r;
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	MP__TEST_POINT("block.link");
	while (linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0) {
		if (errno != EEXIST)
			return failed("naming", path);
		r = mp__named_reap(path);
		if (r < 0)
			return r;
		if (r == 0)
			return mp_error_set(-EEXIST,
				"making %s: somebody uses or keeps one of this name already", path);
	}
	MP__TEST_POINT("block.linked");
	return 0;
}

/* --- opening ----------------------------------------------------------------------------------- */

static int no_such(const char *path)
{
	return mp_error_set(-ENOENT, "%s does not exist, or all who used it are dead", path);
}

/* Behind the door. 1 used; 0 it lost its name before we came, or was a leftover: look again. */
static int use_behind_door(int fd, const char *path)
{
	struct mp__block_header header;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return failed("looking at", path);
	if (!S_ISREG(st.st_mode))
		return mp_error_set(-EBADMSG, "%s is no file", path);
	if (st.st_nlink == 0)
		return 0;
	if (mp__named_is_leftover(fd, &header)) {
		MP__TEST_POINT("block.leftover");
		if (leads_to(path, fd) && unlink(path) < 0 && errno != ENOENT)
			return no_such(path); /* for somebody else to remove */
		return 0;
	}
	MP__TEST_POINT("block.use");
	int r = use(fd, path);
	return r < 0 ? r : 1;
}

int mp__named_open(const char *path, bool readonly)
{
	for (;;) {
		MP__AUTO_CLOSE int fd = mp__fd_above_std(open(path,
			(readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
		if (fd < 0)
			return errno == ENOENT ? no_such(path) : failed("opening", path);
		MP__TEST_POINT("block.opened");
		int r = enter(fd, path);
		if (r < 0)
			return r;
		MP__TEST_POINT("block.door");
		r = use_behind_door(fd, path);
		leave(fd);
		if (r < 0)
			return r;
		if (r > 0)
			return MP__TAKE_FD(fd);
	}
}

/* --- removing ---------------------------------------------------------------------------------- */

static int reap_behind_door(int fd, const char *path)
{
	struct mp__block_header header;

	MP__TEST_POINT("block.reap");
	if (!leads_to(path, fd))
		return 1;
	if (!mp__named_is_leftover(fd, &header))
		return 0;
	if (unlink(path) < 0 && errno != ENOENT)
		return failed("removing", path);
	MP__TEST_POINT("block.reaped");
	return 1;
}

int mp__named_reap(const char *path)
{
	struct mp__block_header header;
	MP__AUTO_CLOSE int fd = open_to_look(path);

	if (fd < 0)
		return errno == ENOENT ? 1 : 0;
	if (!mp__named_is_leftover(fd, &header))
		return 0;
	int r = enter(fd, path);
	if (r < 0)
		return r;
	r = reap_behind_door(fd, path);
	leave(fd);
	return r;
}

int mp__named_unlink(const char *path)
{
	MP__AUTO_CLOSE int fd = open_to_look(path);
	int r = 0;

	/* What may not be read can't be guarded, but perhaps be removed. */
	if (fd >= 0) {
		r = enter(fd, path);
		if (r < 0)
			return r;
		MP__TEST_POINT("block.unlink");
		if (!leads_to(path, fd))
			r = no_such(path);
	}
	if (r == 0 && unlink(path) < 0)
		r = errno == ENOENT ? no_such(path) : failed("removing", path);
	MP__TEST_POINT("block.unlinked");
	if (fd >= 0)
		leave(fd);
	return r;
}
