/*
 * Has eventfds closed by the server that are in an epoll set, which another thread has locked: it adds the
 * file argv[2] to the set, whose server does not say whether that can be read. When it has opened that file
 * it says `open`, and goes on after a byte. argv[1] is a vhost-vdpa, whose queues signal the eventfds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"

enum { EVENTFDS = 40 };

static int late, set;
static _Atomic pid_t adding;

static void *add(void *unused)
{
	struct epoll_event event = {.events = EPOLLIN};
	adding = gettid();
	epoll_ctl(set, EPOLL_CTL_ADD, late, &event);
	return unused;
}

/* Is thread `tid` asleep? */
static int sleeps(pid_t tid)
{
	char path[64], stat[256] = "";
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
	int file = open(path, O_RDONLY);
	CHECK(file >= 0 && read(file, stat, sizeof stat - 1) > 0 && close(file) == 0);
	char state = strrchr(stat, ')')[2];
	return state == 'S' || state == 'D';
}

int main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct vhost_vring_file queue = {0};
	int eventfds[EVENTFDS], taken = 0;
	pthread_t thread;

	CHECK(argc == 3);
	int device = open(argv[1], O_RDWR);
	late = open(argv[2], O_RDWR);
	set = epoll_create1(0);
	CHECK(device >= 0 && late >= 0 && set >= 0 && !ioctl(device, VHOST_SET_OWNER));
	for (int i = 0; i < EVENTFDS; i++) {
		eventfds[i] = eventfd(0, 0);
		CHECK(!epoll_ctl(set, EPOLL_CTL_ADD, eventfds[i], &event));
	}
	CHECK(puts("open") >= 0 && fflush(stdout) == 0 && getchar() != EOF);
	CHECK(pthread_create(&thread, NULL, add, NULL) == 0);
	while (adding == 0 || !sleeps(adding))
		;
	/* Each replaces one before, which nobody else has any more. What is not taken is not closed here. */
	for (int i = 0; i < EVENTFDS; i++) {
		queue.fd = eventfds[i];
		if (ioctl(device, i % 2 ? VHOST_SET_VRING_KICK : VHOST_SET_VRING_CALL, &queue) == 0) {
			CHECK(close(eventfds[i]) == 0);
			taken++;
		} else
			CHECK(errno == EMFILE);
	}
	CHECK(taken > 2 && taken < EVENTFDS && sleeps(adding));
	puts("right");
	CHECK(fflush(stdout) == 0 && getchar() != EOF);
	_exit(0);
}
