/* Threads, children and mappings that come, move and go. */
#define _GNU_SOURCE
#include "mapped.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 200 };

static void *counts(void *argument)
{
	volatile uint32_t *word = (volatile uint32_t *)(bar + 64 * (uintptr_t)argument);

	for (uint32_t i = 1; i <= ROUNDS; i++) {
		*word = i;
		CHECK(*word == i);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t all[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&all[i], NULL, counts, (void *)i) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(all[i], NULL) == 0);
}

static void *maps_again(void *argument)
{
	const int both = PROT_READ | PROT_WRITE;

	for (int i = 0; i < 20; i++) {
		volatile uint32_t *word = mmap(NULL, PAGE, both, MAP_SHARED, device, 0);

		CHECK(word != MAP_FAILED);
		word[(uintptr_t)argument] = i;
		CHECK(word[(uintptr_t)argument] == (uint32_t)i);
		CHECK(munmap((void *)word, PAGE) == 0);
	}
	return NULL;
}

/* Threads map while others are being started. */
static void mappers(void)
{
	pthread_t all[2 * THREADS];

	for (int round = 0; round < 5; round++) {
		for (uintptr_t i = 0; i < 2 * THREADS; i++)
			CHECK(pthread_create(&all[i], NULL, maps_again, (void *)i) == 0);
		for (int i = 0; i < 2 * THREADS; i++)
			CHECK(pthread_join(all[i], NULL) == 0);
	}
}

static int status_of(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child);
	return status;
}

/* A child shares the mapping; what it becomes by exec is another program; its end is its parent's to see. */
static void forks(void)
{
	pid_t child = fork();

	if (child == 0) {
		counts((void *)1);
		_exit(7);
	}
	counts((void *)2);
	CHECK(WEXITSTATUS(status_of(child)) == 7);
	child = fork();
	if (child == 0)
		execl("/bin/sh", "sh", "-c", "kill -KILL $$", (char *)NULL);
	CHECK(WTERMSIG(status_of(child)) == 9);
	child = vfork();
	if (child == 0)
		execl("/bin/true", "true", (char *)NULL);
	CHECK(status_of(child) == 0);
	counts((void *)3);
}

static void moved(void)
{
	const int both = PROT_READ | PROT_WRITE;
	volatile uint8_t *first = bar;
	uint8_t *room = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*(volatile uint32_t *)(first + PAGE + 8) = 0x1234;
	CHECK(munmap((void *)first, PAGE) == 0);
	CHECK(*(volatile uint32_t *)(first + PAGE + 8) == 0x1234);
	bar = mremap((void *)(first + PAGE), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	CHECK(bar == room);
	CHECK(*(volatile uint32_t *)(bar + 8) == 0x1234);
	/* Memory where the device was is memory. */
	CHECK(mmap((void *)(first + PAGE), PAGE, both, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	      first + PAGE);
	*(volatile uint32_t *)(first + PAGE + 8) = 1;
	CHECK(*(volatile uint32_t *)(bar + 8) == 0x1234);
	/* The mapping keeps the device when its descriptor is closed. */
	CHECK(close(device) == 0);
	*(volatile uint32_t *)(bar + 8) = 0x4321;
	CHECK(*(volatile uint32_t *)(bar + 8) == 0x4321);
}

static void *changes(void *argument)
{
	for (;;)
		asm volatile("lock addl %1, (%0)" ::"r"(bar + 64 * (uintptr_t)argument), "r"(1) : "memory");
	return NULL;
}

/* A program that is killed, threads and all, in the middle of an access keeps nobody. */
static void shot(void)
{
	for (int round = 0; round < 40; round++) {
		pthread_t other;
		pid_t child = fork();

		if (child == 0) {
			CHECK(pthread_create(&other, NULL, changes, (void *)1) == 0);
			changes((void *)2);
		}
		usleep(2000 + 700 * (round % 17));
		CHECK(kill(child, SIGKILL) == 0);
		CHECK(WTERMSIG(status_of(child)) == SIGKILL);
	}
	counts((void *)3);
}

static void *outlasts(void *leader)
{
	void *result;
	uint32_t value[4] = { 0, 0, 0, 0 };
	volatile uint32_t *word = (volatile uint32_t *)bar;

	CHECK(pthread_join(*(pthread_t *)leader, &result) == 0);
	counts((void *)1);
	*word = 5;
	/* The processor stores this one itself, on scratch memory: movdqu. */
	asm volatile("movdqu (%0), %%xmm0; movdqu %%xmm0, (%1)" ::"r"(value), "r"(bar + 16)
		     : "xmm0", "memory");
	asm volatile("lock addl %1, (%0)" ::"r"(word), "r"(2) : "memory");
	CHECK(*word == 7);
	maps_again((void *)2);
	printf("leader ok\n");
	exit(0);
}

/* The other threads go on when the first has ended. */
static void leader(void)
{
	static pthread_t self;
	pthread_t other;

	self = pthread_self();
	CHECK(pthread_create(&other, NULL, outlasts, &self) == 0);
	pthread_exit(NULL);
}

/* A child that has mapped can be waited for as soon as its pidfd says that it has ended. */
static void awaited(void)
{
	for (int round = 0; round < 50; round++) {
		struct pollfd end = { .events = POLLIN };
		pthread_t other;
		pid_t child = fork();
		int status;

		if (child == 0) {
			CHECK(pthread_create(&other, NULL, counts, (void *)1) == 0);
			CHECK(bar[0] == bar[0]);
			_exit(7);
		}
		end.fd = syscall(SYS_pidfd_open, child, 0);
		CHECK(poll(&end, 1, -1) == 1);
		CHECK(waitpid(child, &status, WNOHANG) == child);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
		CHECK(close(end.fd) == 0);
	}
}

/* The size of the device file, as the kernel believes it to be. */
static uint64_t size(void)
{
	struct statx found;

	CHECK(statx(device, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &found) == 0);
	return found.stx_size;
}

/* A write through the file moves its end for the kernel: accesses ask for pages, but only for a while. */
static void written(void)
{
	for (uint32_t round = 0; round < 20; round++) {
		poke(16, &round, 4);
		CHECK(size() > 0);
		do
			CHECK(*(volatile uint32_t *)(bar + 16) == round);
		while (size() > 0);
	}
}

/* What cannot be mapped is refused as by the kernel. */
static void refused(void)
{
	const off_t config = 7ll << 40;
	const int both = PROT_READ | PROT_WRITE;

	CHECK(mmap(NULL, PAGE, both, MAP_SHARED, device, config) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, both, MAP_SHARED, device, BAR_BYTES) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, BAR_BYTES + 1, both, MAP_SHARED, device, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, both, MAP_SHARED, device, 1ll << 40) == MAP_FAILED && errno == EINVAL);
}

const struct task life_tasks[] = {
	{ "threads", threads }, { "forks", forks }, { "moved", moved }, { "refused", refused },
	{ "shot", shot },       { "mappers", mappers }, { "leader", leader },   { "awaited", awaited },
	{ "written", written },
	{ NULL, NULL },
};
