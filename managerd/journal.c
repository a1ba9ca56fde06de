/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/journal.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* JOURNAL_STREAM is inherited by whoever is started from a service: it has to be our stderr. */
bool md_journal_is_stderr(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device;
	unsigned long long inode;
	struct stat st;

	return text && sscanf(text, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == (dev_t)device &&
	       st.st_ino == (ino_t)inode;
}

int md_journal_open(struct md_journal *journal, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	journal->fd = -1;
	if (strlen(path) >= sizeof(address.sun_path))
		return mp_error_set(-ENAMETOOLONG, "the journal's socket %s", path);
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return mp__error_errno("socket");
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = mp__error_errno(path);
		close(fd);
		return r;
	}
	journal->fd = fd;
	return 0;
}

void md_journal_close(struct md_journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
}

void md_journal_begin(struct md_journal *journal)
{
	journal->size = 0;
}

/* One byte is kept for the newline. */
static void append(struct md_journal *journal, const char *text)
{
	for (; *text && journal->size < MD_JOURNAL_RECORD_SIZE - 1; text++) {
		bool control = (unsigned char)*text < ' ' || *text == 0x7f;
		char *at = &journal->record[journal->size++];
		*at = *text;
		if (control)
			*at = '?';
	}
}

void md_journal_field(struct md_journal *journal, const char *name, const char *value)
{
	/* Half a name would be another field. */
	if (MD_JOURNAL_RECORD_SIZE - journal->size < strlen(name) + 3)
		return;
	append(journal, name);
	append(journal, "=");
	append(journal, value);
	journal->record[journal->size++] = '\n';
}

void md_journal_number(struct md_journal *journal, const char *name, long long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", value);
	md_journal_field(journal, name, text);
}

int md_journal_send(struct md_journal *journal)
{
	if (send(journal->fd, journal->record, journal->size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return errno == ENOBUFS ? -EAGAIN : -errno;
	return 0;
}
