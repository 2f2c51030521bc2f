/*
 * Puts the file argv[2] in the place of a memfd just while the server of the context argv[1] maps that: a
 * little later after each call has begun than the time before, until the server has found it out argv[3]
 * times. When it has opened them it says `open`, and goes on after a byte. Then it says how often it has
 * tried, and stays.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "ioasid.h"

enum { LENGTH = 4096, STEP_NS = 500, STEPS = 600, MOST = 50000 };

static int foreign;
static _Atomic int turn, swapped;
static int slot;

static long nanoseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void *swap(void *unused)
{
	for (int done = 0;; done++) {
		while (turn == done)
			;
		long until = nanoseconds() + done % STEPS * STEP_NS;
		while (nanoseconds() < until)
			;
		CHECK(dup2(foreign, slot) == slot);
		swapped = done + 1;
	}
	return unused;
}

int main(int argc, char **argv)
{
	CHECK(argc == 4);
	struct rlimit files;
	CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
	files.rlim_cur = files.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
	int context = open(argv[1], O_RDWR);
	foreign = open(argv[2], O_RDWR);
	int memory = memfd_create("memory", 0);
	CHECK(context >= 0 && foreign >= 0 && memory >= 0 && ftruncate(memory, LENGTH) == 0);
	struct ioasid_alloc alloc = {.size = sizeof alloc};
	CHECK(ioctl(context, IOASID_ALLOC, &alloc) == 0);
	CHECK(puts("open") >= 0 && fflush(stdout) == 0 && getchar() != EOF);

	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, swap, NULL) == 0);
	int found = 0, tries = 0;
	for (; found < atoi(argv[3]) && tries < MOST; tries++) {
		slot = dup(memory);
		CHECK(slot >= 0);
		struct ioasid_map_file map = {
			.size = sizeof map, .flags = IOASID_MAP_READ | IOASID_MAP_WRITE,
			.pasid = alloc.pasid, .fd = slot, .length = LENGTH,
		};
		turn = tries + 1;
		int result = ioctl(context, IOASID_MAP_FILE, &map);
		if (result < 0 && errno == EBADF)
			found++;
		else
			CHECK(result == 0 || errno == EINVAL);
		struct ioasid_unmap unmap = {
			.size = sizeof unmap, .flags = IOASID_UNMAP_ALL, .pasid = alloc.pasid,
		};
		CHECK(ioctl(context, IOASID_UNMAP, &unmap) == 0);
		while (swapped != tries + 1)
			;
	}
	printf("%d of %d\n", found, tries);
	CHECK(fflush(stdout) == 0);
	for (;;)
		pause();
}
