/* Calls at the same time, and callers that are killed, interrupted or deceived in the middle of one. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "newfd.h"

static void *many(void *rounds)
{
	int own = open_maker();

	for (intptr_t i = 0; i < (intptr_t)rounds; i++) {
		int a = make(own), b = make(maker);

		close(a);
		close(b);
	}
	close(own);
	return NULL;
}

static void threads(void)
{
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		CHECK(pthread_create(&threads[i], NULL, many, (void *)20) == 0);
	for (int i = 0; i < 8; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	living_becomes(1);
}

static void forks(void)
{
	int status, fd = make(maker);

	for (int i = 0; i < 4; i++) {
		if (fork() != 0)
			continue;
		/* The parent's file is the child's too; the child's own is not the parent's. */
		CHECK(ioctl(fd, NUMBER) == 2);
		close(make(fd));
		many((void *)5);
		exit(0);
	}
	while (wait(&status) > 0)
		CHECK(status == 0);
	CHECK(ioctl(fd, NUMBER) == 2);
	close(fd);
	living_becomes(1);
}

/* kill -9 by the server itself, at the worst moments. */
static void killed(void)
{
	for (int i = 0; i < 10; i++) {
		struct alloc alloc = { .size = sizeof(alloc), .flags = i % 2 ? KILL_BEFORE : KILL_AFTER };
		int status;
		pid_t child = fork();

		if (child == 0) {
			ioctl(maker, FAULT_QUEUE_ALLOC, &alloc);
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	living_becomes(1);
	close(make(maker));
	living_becomes(1);
}

/* kill -9 by somebody else, at any moment. */
static void shot(void)
{
	unsigned seed = 1;

	for (int i = 0; i < 60; i++) {
		pid_t child = fork();

		if (child == 0)
			for (;;)
				close(make(maker));
		usleep(rand_r(&seed) % 5000);
		kill(child, SIGKILL);
		CHECK(waitpid(child, NULL, 0) == child);
	}
	living_becomes(1);
}

static volatile sig_atomic_t ticks;

static void tick(int number)
{
	(void)number;
	ticks++;
}

/* Signals, with and without SA_RESTART, neither repeat a call nor lose its descriptor. */
static void signals(void)
{
	struct sigaction action = { .sa_handler = tick };
	timer_t timer;
	struct itimerspec often = { .it_interval.tv_nsec = 300000, .it_value.tv_nsec = 300000 };
	int before = descriptors();

	CHECK(timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0);
	for (int restart = 0; restart < 2; restart++) {
		action.sa_flags = restart ? SA_RESTART : 0;
		CHECK(sigaction(SIGALRM, &action, NULL) == 0);
		CHECK(timer_settime(timer, 0, &often, NULL) == 0);
		for (int i = 0; i < 100; i++) {
			struct alloc alloc = { .size = sizeof(alloc) };
			int result;

			/* Interrupted before the server has read it, a call has done nothing. */
			while ((result = ioctl(maker, FAULT_QUEUE_ALLOC, &alloc)) == -1 && errno == EINTR)
				;
			CHECK(result == 0);
			close(alloc.fd);
		}
		CHECK(timer_settime(timer, 0, &(struct itimerspec){ 0 }, NULL) == 0);
	}
	CHECK(ticks > 10);
	CHECK(descriptors() == before);
	living_becomes(1);
}

/* Another thread changes what the descriptor means all the time. */
static volatile int stop;

static void *swap(void *slot)
{
	int null = open("/dev/null", O_RDWR), other = open_maker();

	while (!stop) {
		dup2(null, (intptr_t)slot);
		dup2(other, (intptr_t)slot);
		close((intptr_t)slot);
		dup2(maker, (intptr_t)slot);
	}
	close(null);
	close(other);
	return NULL;
}

static void swapped(void)
{
	int slot = 500, made = 0;
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, swap, (void *)(intptr_t)slot) == 0);
	for (int i = 0; i < 400 || made < 20; i++) {
		int fd = ioctl(slot, GET_DEVICE_FD, "device");

		CHECK(fd >= 0 || errno == ENOTTY || errno == EBADF || errno == EOPNOTSUPP);
		if (fd >= 0) {
			made++;
			CHECK(ioctl(fd, NUMBER) > 1);
			close(fd);
		}
	}
	stop = 1;
	CHECK(pthread_join(thread, NULL) == 0);
	close(slot);
	living_becomes(1);
}

const struct task race_tasks[] = {
	{ "threads", threads },
	{ "forks", forks },
	{ "killed", killed },
	{ "shot", shot },
	{ "signals", signals },
	{ "swapped", swapped },
	{ NULL, NULL },
};
