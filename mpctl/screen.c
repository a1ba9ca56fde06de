/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "mpctl/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define OTHER_SCREEN "\033[?1049h\033[?25l" /* and no cursor */
#define FIRST_SCREEN "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_REST "\033[J"

static volatile sig_atomic_t stop;
static struct termios before;
static bool has_keys;

static void on_signal(int signal)
{
	if (signal != SIGWINCH)
		stop = 1;
}

static void catch_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
	struct sigaction action = {.sa_handler = on_signal}; /* no restart: waits end */

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

bool screen_begin(void)
{
	struct termios keys;

	catch_signals();
	if (!isatty(STDOUT_FILENO))
		return false;
	has_keys = tcgetattr(STDIN_FILENO, &before) == 0;
	if (has_keys) {
		keys = before;
		keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		/* Stopped, it would leave the terminal as it is now. */
		keys.c_cc[VSUSP] = _POSIX_VDISABLE;
		tcsetattr(STDIN_FILENO, TCSANOW, &keys);
	}
	fputs(OTHER_SCREEN, stdout);
	fflush(stdout);
	return true;
}

void screen_end(void)
{
	fputs(FIRST_SCREEN, stdout);
	fflush(stdout);
	if (has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static struct winsize size_of(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	return size;
}

size_t screen_lines(void)
{
	return size_of().ws_row;
}

void screen_draw(const char *text)
{
	struct winsize size = size_of();

	fputs(HOME, stdout);
	for (int row = 1; row <= size.ws_row && *text; row++) {
		size_t length = strcspn(text, "\n");
		int shown = length < size.ws_col ? (int)length : size.ws_col;
		/* The last line has no end: that would move all of them up. */
		printf("%.*s%s%s", shown, text, shown < size.ws_col ? CLEAR_LINE : "",
			row < size.ws_row ? "\r\n" : "");
		text += length + (text[length] == '\n');
	}
	fputs(CLEAR_REST, stdout);
	fflush(stdout);
}

bool screen_wait(int ms)
{
	struct pollfd keys = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN};
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
	sigset_t all;
	sigset_t mask;
	char key;

	/* A signal that came between this look and the wait would not end it. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &mask);
	int n = stop ? 0 : ppoll(&keys, 1, &time, &mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (n > 0 && keys.revents & POLLIN && read(STDIN_FILENO, &key, 1) == 1)
		return key != 'q' && key != 'Q';
	if (n > 0) /* the terminal has gone */
		return false;
	return !stop;
}
