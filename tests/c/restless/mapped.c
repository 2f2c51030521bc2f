/* Loads and stores of a mapped BAR, by threads of two processes; under a serve it cannot be mapped. */
#define _GNU_SOURCE
#include "restless.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SCRATCH = 0x04, COMMAND = 4, MEMORY_AND_MASTER = 6 };

static int device_fd;
static volatile uint32_t *volatile bar;

static void *loads_and_stores(void *unused)
{
	for (uint32_t i = 0;; i++) {
		bar[SCRATCH / 4] = i;
		asm volatile("lock orl %1, (%0)" ::"r"(bar + SCRATCH / 4), "r"(1) : "memory");
		(void)bar[SCRATCH / 4];
	}
	return unused;
}

static void *blocks_all(void *unused)
{
	sigset_t set;

	sigfillset(&set);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	return loads_and_stores(unused);
}

static void *maps_and_sets(void *unused)
{
	for (uint32_t i = 0;; i++) {
		volatile uint32_t *word = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device_fd, 0);

		if (word == MAP_FAILED)
			continue;
		word[SCRATCH / 4] = i;
		signal(SIGILL, i & 1 ? SIG_IGN : SIG_DFL);
		munmap((void *)word, PAGE);
	}
	return unused;
}

/* Children come and go, some of them killed in the middle of an access. */
static void children(void)
{
	for (;;) {
		pid_t child = fork();

		if (child == 0)
			loads_and_stores(NULL);
		usleep(10000);
		kill(child, SIGKILL);
	}
}

void mapped(void)
{
	const uint16_t word = MEMORY_AND_MASTER;
	pthread_t thread;

	signal(SIGCHLD, SIG_IGN);
	device_fd = device(MAPPED);
	pwrite(device_fd, &word, 2, (7ll << 40) + COMMAND);
	bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device_fd, 0);
	if (bar == MAP_FAILED)
		for (uint32_t value;;)
			pread(device_fd, &value, 4, SCRATCH);
	pthread_create(&thread, NULL, loads_and_stores, NULL);
	pthread_create(&thread, NULL, blocks_all, NULL);
	pthread_create(&thread, NULL, maps_and_sets, NULL);
	children();
}
