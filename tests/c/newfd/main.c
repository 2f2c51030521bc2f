/*
 * newfd: exercises ioctls that return a new descriptor, on /dev/maker (src/testkit/new-fd-server.ts). The
 * first argument names what to do.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "newfd.h"

int maker;

int open_maker(void)
{
	int fd = open("/dev/maker", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

int descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

int next_descriptor(void)
{
	int fd = dup(0);

	CHECK(fd >= 0);
	close(fd);
	return fd;
}

int make(int on)
{
	struct alloc alloc = { .size = sizeof(alloc), .fd = -1 };
	unsigned char byte = 0;

	CHECK(ioctl(on, FAULT_QUEUE_ALLOC, &alloc) == 0);
	CHECK(alloc.fd >= 0);
	CHECK(fcntl(alloc.fd, F_GETFD) == FD_CLOEXEC);
	CHECK((fcntl(alloc.fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	CHECK(ioctl(alloc.fd, NUMBER) == (int)alloc.number);
	CHECK(ioctl(on, PRESENTED, alloc.fd) == (int)alloc.number);
	/* It is a stream: no offsets, and each read begins anew. */
	for (int i = 0; i < 2; i++)
		CHECK(read(alloc.fd, &byte, 1) == 1 && byte == (unsigned char)alloc.number);
	CHECK(pread(alloc.fd, &byte, 1, 0) == -1 && errno == ESPIPE);
	CHECK(lseek(alloc.fd, 0, SEEK_CUR) == -1 && errno == ESPIPE);
	return alloc.fd;
}

void living_becomes(int count)
{
	for (int round = 0; round < 2000 && ioctl(maker, LIVING) != count; round++)
		usleep(10000);
	CHECK(ioctl(maker, LIVING) == count);
}

static double per_call(long (*call)(void))
{
	struct timespec from, to;
	const int count = 300000;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < count; i++)
		call();
	clock_gettime(CLOCK_MONOTONIC, &to);
	return ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / count;
}

static int null_file;

static long call_getpid(void)
{
	return syscall(SYS_getpid);
}

static long call_ioctl(void)
{
	return ioctl(null_file, 0x5401, 0);
}

/* What a system call costs, in nanoseconds: to be compared with the same outside. */
static void cost(void)
{
	null_file = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		printf("getpid %.0f ns, ioctl %.0f ns\n", per_call(call_getpid), per_call(call_ioctl));
}

int main(int argc, char **argv)
{
	const char *name = argc == 2 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(name, "cost") == 0) {
		cost();
		printf("cost ok\n");
		return 0;
	}
	maker = open_maker();
	for (const struct task *task = call_tasks; task->name != NULL; task++)
		if (strcmp(task->name, name) == 0)
			return run_task(call_tasks, name);
	return run_task(race_tasks, name);
}
