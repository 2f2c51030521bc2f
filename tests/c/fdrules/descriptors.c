/* Commands on descriptors. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fdrules.h"

static void cmd_open(const struct words *words, struct answer *answer)
{
	const char *mode = word_or(words, 2, "rw");
	int flags = strcmp(mode, "r") == 0 ? O_RDONLY : strcmp(mode, "w") == 0 ? O_WRONLY : O_RDWR;
	if (strcmp(mode, "create") == 0)
		flags |= O_CREAT;
	if (strcmp(mode, "path") == 0)
		flags = O_PATH;
	returned(answer, open(word_or(words, 1, ""), flags, 0600));
}

static void cmd_close(const struct words *words, struct answer *answer)
{
	done(answer, close(fd_at(words, 1)));
}

static void cmd_dup(const struct words *words, struct answer *answer)
{
	returned(answer, dup(fd_at(words, 1)));
}

static void cmd_dup2(const struct words *words, struct answer *answer)
{
	returned(answer, dup2(fd_at(words, 1), fd_at(words, 2)));
}

static void cmd_cloexec(const struct words *words, struct answer *answer)
{
	done(answer, fcntl(fd_at(words, 1), F_SETFD, FD_CLOEXEC));
}

static void cmd_inode(const struct words *words, struct answer *answer)
{
	struct stat status;
	if (fstat(fd_at(words, 1), &status) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %llu %u:%u", (unsigned long long)status.st_ino, major(status.st_dev),
		    minor(status.st_dev));
}

static void cmd_pread(const struct words *words, struct answer *answer)
{
	size_t length = number(words, 3);
	unsigned char *bytes = calloc(1, length + 1);
	ssize_t n = bytes == NULL ? -1 : pread(fd_at(words, 1), bytes, length, (off_t)number(words, 2));
	if (n < 0) {
		failed(answer, errno);
	} else {
		ok(answer);
		put_hex(answer, bytes, (size_t)n);
	}
	free(bytes);
}

static void cmd_pwrite(const struct words *words, struct answer *answer)
{
	size_t length;
	unsigned char *bytes = from_hex(word_or(words, 3, ""), 0, &length);
	if (bytes == NULL)
		bad(answer, "hexadecimal digits");
	else
		returned(answer, pwrite(fd_at(words, 1), bytes, length, (off_t)number(words, 2)));
	free(bytes);
}

static void cmd_eventfd(const struct words *words, struct answer *answer)
{
	returned(answer, eventfd((unsigned)number(words, 1), EFD_NONBLOCK));
}

static void cmd_readevent(const struct words *words, struct answer *answer)
{
	unsigned long long count;
	if (read(fd_at(words, 1), &count, sizeof count) == (ssize_t)sizeof count)
		put(answer, "ok %llu", count);
	else
		failed(answer, errno);
}

/* Answers `ok REVENTS`; 0 when nothing came within the time. */
static void cmd_poll(const struct words *words, struct answer *answer)
{
	struct pollfd entry = {.fd = fd_at(words, 1), .events = POLLIN};
	if (poll(&entry, 1, (int)number(words, 2)) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %d", entry.revents);
}

static void cmd_epoll(const struct words *words, struct answer *answer)
{
	(void)words;
	returned(answer, epoll_create1(EPOLL_CLOEXEC));
}

static void cmd_watch(const struct words *words, struct answer *answer)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd_at(words, 2)};
	done(answer, epoll_ctl(fd_at(words, 1), EPOLL_CTL_ADD, fd_at(words, 2), &event));
}

const struct command descriptor_commands[] = {
	{"open", cmd_open, "PATH [r|w|rw|create|path] -> fd"},
	{"close", cmd_close, "FD"},
	{"dup", cmd_dup, "FD -> fd"},
	{"dup2", cmd_dup2, "FROM TO -> fd"},
	{"cloexec", cmd_cloexec, "FD"},
	{"inode", cmd_inode, "FD -> inode major:minor"},
	{"pread", cmd_pread, "FD OFFSET LENGTH -> bytes"},
	{"pwrite", cmd_pwrite, "FD OFFSET BYTES -> count"},
	{"eventfd", cmd_eventfd, "[INITIAL] -> fd"},
	{"readevent", cmd_readevent, "FD -> count (EAGAIN: none)"},
	{"poll", cmd_poll, "FD MS -> revents (0: none in time)"},
	{"epoll", cmd_epoll, "-> fd"},
	{"watch", cmd_watch, "EPOLL FD"},
	{NULL, NULL, NULL},
};
