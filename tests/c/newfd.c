/*
 * Exercises ioctls that return a new descriptor, on /dev/maker (src/testkit/new-fd-server.ts). The first
 * argument names what to do; each prints one line that ends in "ok", or what went wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GET_DEVICE_FD 0x3b6a
#define FAULT_QUEUE_ALLOC 0x3b8e
#define NUMBER 0x3b01
#define PRESENTED 0x3b02
#define LIVING 0x3b03

enum { KILL_BEFORE = 1, KILL_AFTER = 2, REFUSE = 4, TWICE = 8, BUG = 16 };

struct alloc {
	uint32_t size, flags, number;
	int32_t fd;
};

static int maker;

#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			printf("line %d: %s: %s\n", __LINE__, #condition, strerror(errno));     \
			exit(1);                                                                \
		}                                                                               \
	} while (0)

static int open_maker(void)
{
	int fd = open("/dev/maker", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

static int descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

/* The number that the next descriptor gets. */
static int next_descriptor(void)
{
	int fd = dup(0);

	CHECK(fd >= 0);
	close(fd);
	return fd;
}

/* Makes a file, checks that it is the one it says, and returns its descriptor. */
static int make(int on)
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

static void living_becomes(int count)
{
	for (int round = 0; round < 500 && ioctl(maker, LIVING) != count; round++)
		usleep(10000);
	CHECK(ioctl(maker, LIVING) == count);
}

static void one(void)
{
	int fd, device;

	fd = make(maker);
	device = ioctl(maker, GET_DEVICE_FD, "device");
	CHECK(device > fd);
	CHECK(fcntl(device, F_GETFD) == FD_CLOEXEC);
	CHECK(ioctl(device, NUMBER) == 3);
	CHECK(ioctl(maker, LIVING) == 3);
	/* A made file makes files too. */
	close(make(device));
	CHECK(ioctl(maker, LIVING) == 3);
	/* Our close is the last: the file is gone when it returns, or very soon. */
	close(fd);
	close(device);
	living_becomes(1);
}

static void refusals(void)
{
	struct alloc alloc = { .size = sizeof(alloc), .flags = REFUSE };
	int before = descriptors(), next = next_descriptor();
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(ioctl(maker, FAULT_QUEUE_ALLOC, &alloc) == -1 && errno == EBUSY);
	CHECK(ioctl(maker, FAULT_QUEUE_ALLOC, 8) == -1 && errno == EFAULT);
	CHECK(ioctl(maker, FAULT_QUEUE_ALLOC, NULL) == -1 && errno == EFAULT);
	CHECK(ioctl(maker, FAULT_QUEUE_ALLOC, -1L) == -1 && errno == EFAULT);
	CHECK(ioctl(maker, FAULT_QUEUE_ALLOC, page) == -1 && errno == EFAULT);
	CHECK(ioctl(maker, GET_DEVICE_FD, "nobody") == -1 && errno == ENODEV);
	/* The second file is refused, so the call fails; the first is there. */
	alloc.flags = TWICE;
	CHECK(ioctl(maker, FAULT_QUEUE_ALLOC, &alloc) == -1 && errno == ENFILE);
	CHECK(descriptors() == before + 1);
	CHECK(ioctl(maker, LIVING) == 2);
	close(next);
	close(make(maker));
	living_becomes(1);
}

static void bug(void)
{
	struct alloc alloc = { .size = sizeof(alloc), .flags = BUG };

	CHECK(ioctl(maker, FAULT_QUEUE_ALLOC, &alloc) == -1 && errno == EIO);
	close(make(maker));
}

static void elsewhere(void)
{
	struct alloc alloc = { .size = sizeof(alloc) };
	int null = open("/dev/null", O_RDWR), memfd = memfd_create("x", 0), path = open("/dev/maker", O_PATH), pipes[2];

	CHECK(pipe(pipes) == 0);
	CHECK(ioctl(null, FAULT_QUEUE_ALLOC, &alloc) == -1 && errno == ENOTTY);
	CHECK(ioctl(memfd, FAULT_QUEUE_ALLOC, &alloc) == -1 && errno == ENOTTY);
	CHECK(ioctl(pipes[0], GET_DEVICE_FD, "device") == -1 && errno == ENOTTY);
	CHECK(ioctl(path, GET_DEVICE_FD, "device") == -1 && errno == EBADF);
	CHECK(ioctl(1000, FAULT_QUEUE_ALLOC, &alloc) == -1 && errno == EBADF);
	CHECK(ioctl(-1, FAULT_QUEUE_ALLOC, &alloc) == -1 && errno == EBADF);
	/* The number's upper half means nothing to the kernel, and other numbers go their usual way. */
	CHECK(syscall(SYS_ioctl, maker, 0x100000000L | NUMBER, 0) == 1);
	CHECK(ioctl(maker, 0xc0103b8e, &alloc) == -1 && errno == ENOTTY);
	int fd = syscall(SYS_ioctl, maker, 0x700000000L | GET_DEVICE_FD, "device");
	CHECK(fd > pipes[1] && ioctl(fd, NUMBER) == 2);
}

static void full(void)
{
	struct alloc alloc = { .size = sizeof(alloc) };
	struct rlimit limit;
	int before = next_descriptor();

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = before;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(ioctl(maker, FAULT_QUEUE_ALLOC, &alloc) == -1 && errno == EMFILE);
	CHECK(ioctl(maker, LIVING) == 1);
	limit.rlim_cur = before + 1;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(make(maker) == before);
}

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
		CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
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

			/* Before the server has read it, a call may be interrupted: nothing has happened then. */
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

/* Reopened through /proc: one inode, several open files, which only a nonce tells apart. */
static void reopened(void)
{
	char name[64];
	int fd, again, made;

	fd = make(maker);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", maker);
	again = open(name, O_RDWR);
	CHECK(again >= 0);
	made = make(again);
	CHECK(ioctl(again, PRESENTED, maker) == 1);
	CHECK(ioctl(again, PRESENTED, made) == ioctl(made, NUMBER));
	close(made);
	close(make(maker));
	close(again);
	close(fd);
	living_becomes(1);
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

static void refused(void)
{
	struct alloc alloc = { .size = sizeof(alloc) };

	CHECK(ioctl(maker, FAULT_QUEUE_ALLOC, &alloc) == -1 && errno == EOPNOTSUPP);
	CHECK(ioctl(maker, LIVING) == 1);
}

static const struct {
	const char *name;
	void (*run)(void);
} tasks[] = {
	{ "one", one },	      { "refusals", refusals }, { "bug", bug },		{ "elsewhere", elsewhere },
	{ "full", full },     { "threads", threads },	{ "forks", forks },	{ "killed", killed },
	{ "shot", shot },     { "signals", signals },	{ "swapped", swapped }, { "reopened", reopened },
	{ "refused", refused }, { "cost", cost },
};

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 2 || strcmp(argv[1], "cost") != 0)
		maker = open_maker();
	for (unsigned i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
		if (argc != 2 || strcmp(argv[1], tasks[i].name) != 0)
			continue;
		tasks[i].run();
		printf("%s ok\n", argv[1]);
		return 0;
	}
	printf("no such task\n");
	return 2;
}
