/* Commands that hand descriptors to other processes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fdrules.h"

static void cmd_socketpair(const struct words *words, struct answer *answer)
{
	int pair[2];
	(void)words;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %d %d", pair[0], pair[1]);
}

static struct sockaddr_un socket_name(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	strncpy(name.sun_path, path, sizeof name.sun_path - 1);
	return name;
}

static void cmd_listen(const struct words *words, struct answer *answer)
{
	struct sockaddr_un name = socket_name(word_or(words, 1, ""));
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 8) < 0) {
		failed(answer, errno);
		close(fd);
	} else {
		put(answer, "ok %d", fd);
	}
}

static void cmd_accept(const struct words *words, struct answer *answer)
{
	returned(answer, accept(fd_at(words, 1), NULL, NULL));
}

static void cmd_connect(const struct words *words, struct answer *answer)
{
	struct sockaddr_un name = socket_name(word_or(words, 1, ""));
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0) {
		failed(answer, errno);
		close(fd);
	} else {
		put(answer, "ok %d", fd);
	}
}

/* A message of one byte, with room for one descriptor. */
struct fd_message {
	struct msghdr header;
	struct iovec part;
	char byte;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
};

static void prepare(struct fd_message *message)
{
	memset(message, 0, sizeof *message);
	message->part.iov_base = &message->byte;
	message->part.iov_len = 1;
	message->header.msg_iov = &message->part;
	message->header.msg_iovlen = 1;
	message->header.msg_control = message->control;
	message->header.msg_controllen = sizeof message->control;
}

static void cmd_sendfd(const struct words *words, struct answer *answer)
{
	struct fd_message message;
	int fd = fd_at(words, 2);
	prepare(&message);
	struct cmsghdr *control = CMSG_FIRSTHDR(&message.header);
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(control), &fd, sizeof fd);
	done(answer, sendmsg(fd_at(words, 1), &message.header, 0) < 0 ? -1 : 0);
}

static void cmd_recvfd(const struct words *words, struct answer *answer)
{
	struct fd_message message;
	int fd;
	prepare(&message);
	ssize_t n = recvmsg(fd_at(words, 1), &message.header, 0);
	struct cmsghdr *control = n < 0 ? NULL : CMSG_FIRSTHDR(&message.header);
	if (n < 0) {
		failed(answer, errno);
	} else if (control == NULL || control->cmsg_type != SCM_RIGHTS) {
		failed(answer, ENODATA);
	} else {
		memcpy(&fd, CMSG_DATA(control), sizeof fd);
		put(answer, "ok %d", fd);
	}
}

const struct command socket_commands[] = {
	{"socketpair", cmd_socketpair, "-> fd fd"},
	{"listen", cmd_listen, "PATH -> fd"},
	{"accept", cmd_accept, "FD -> fd"},
	{"connect", cmd_connect, "PATH -> fd"},
	{"sendfd", cmd_sendfd, "SOCKET FD"},
	{"recvfd", cmd_recvfd, "SOCKET -> fd"},
	{NULL, NULL, NULL},
};
