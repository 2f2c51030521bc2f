/*
 * Presents an epoll set, as a context and as a file to map, while another thread adds the file argv[3] to it,
 * whose server does not say whether that can be read: until it does, the thread has the lock of the set. When
 * it has opened that file it says `open`, and goes on after a byte; argv[1] is a context, argv[2] a device.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"
#include "ioasid.h"

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
	CHECK(argc == 4);
	int context = open(argv[1], O_RDWR), device = open(argv[2], O_RDWR);
	late = open(argv[3], O_RDWR);
	set = epoll_create1(0);
	CHECK(context >= 0 && device >= 0 && late >= 0 && set >= 0);
	struct ioasid_alloc alloc = {.size = sizeof alloc};
	CHECK(ioctl(context, IOASID_ALLOC, &alloc) == 0);
	CHECK(puts("open") >= 0 && fflush(stdout) == 0 && getchar() != EOF);

	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, add, NULL) == 0);
	while (adding == 0 || !sleeps(adding))
		;
	struct ioasid_authorize authorize = {
		.size = sizeof authorize, .pasid = alloc.pasid, .vpasid = alloc.pasid, .ioasid_fd = set,
	};
	CHECK(ioctl(device, IOASID_AUTHORIZE, &authorize) == -1 && errno == EINVAL);
	struct ioasid_map_file map = {
		.size = sizeof map, .flags = IOASID_MAP_READ, .pasid = alloc.pasid, .fd = set, .length = 4096,
	};
	CHECK(ioctl(context, IOASID_MAP_FILE, &map) == -1 && errno == EINVAL);
	CHECK(sleeps(adding));
	puts("right");
	CHECK(fflush(stdout) == 0);
	_exit(0);
}
