/*
 * Exercises the files of event queues, on /dev/iommu with its test interface. The first argument names what
 * to do.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define DESTROY 0x3b80
#define IOAS_ALLOC 0x3b81
#define HWPT_ALLOC 0x3b89
#define FAULT_QUEUE_ALLOC 0x3b8e
#define TEST 0x3ba0

enum { MOCK_DOMAIN = 2, REPLACE = 10, TRIGGER_IOPF = 15 };
enum { FAULT_ID_VALID = 4, SUCCESS = 0, INVALID = 1, PATIENCE_MS = 20000 };

struct fault {
	uint32_t flags, dev_id, pasid, grpid, perm, reserved;
	uint64_t addr;
	uint32_t length, cookie;
};

struct response {
	uint32_t cookie, code;
};

static int iommu, queue, queue_id;
static uint32_t ioas, stdev, idev;

static uint32_t *test(uint32_t *words, int op, uint32_t id)
{
	words[0] = 72;
	words[1] = op;
	words[2] = id;
	CHECK(ioctl(iommu, TEST, words) == 0);
	return words;
}

static void attach(uint32_t table)
{
	uint32_t words[18] = { [4] = table };

	test(words, REPLACE, stdev);
}

static uint32_t fault_table(void)
{
	uint32_t words[12] = { 48, FAULT_ID_VALID, idev, ioas, [10] = queue_id };

	CHECK(ioctl(iommu, HWPT_ALLOC, words) == 0);
	return words[4];
}

static void setup(void)
{
	uint32_t words[18] = { 12 }, alloc[4] = { 16, 0, 0, -1 };

	iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	CHECK(iommu >= 0);
	CHECK(ioctl(iommu, IOAS_ALLOC, words) == 0);
	ioas = words[2];
	memset(words, 0, sizeof(words));
	test(words, MOCK_DOMAIN, ioas);
	stdev = words[4];
	idev = words[6];
	CHECK(ioctl(iommu, FAULT_QUEUE_ALLOC, alloc) == 0);
	queue_id = alloc[2];
	queue = alloc[3];
	CHECK(queue >= 0 && fcntl(queue, F_GETFD) == FD_CLOEXEC);
	attach(fault_table());
}

/* The device asks for the page at `addr`. */
static void trigger(uint64_t addr)
{
	uint32_t words[18] = { [4] = idev, [6] = 7, [7] = 2, [8] = addr, [9] = addr >> 32 };

	test(words, TRIGGER_IOPF, 0);
}

static struct fault take(void)
{
	struct fault fault = { 0 };

	CHECK(read(queue, &fault, sizeof(fault)) == sizeof(fault));
	return fault;
}

static void answer(uint32_t cookie, uint32_t code)
{
	struct response response = { cookie, code };

	CHECK(write(queue, &response, sizeof(response)) == sizeof(response));
}

static int ready(int timeout)
{
	struct pollfd request = { .fd = queue, .events = POLLIN | POLLOUT };

	CHECK(poll(&request, 1, timeout) >= 0);
	return request.revents;
}

/* Reads never wait, blocking or not; records come whole, and in their order. */
static void reads(void)
{
	struct fault faults[4];
	void *nothing = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(read(queue, faults, sizeof(faults)) == 0);
	CHECK(fcntl(queue, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
	CHECK(read(queue, faults, sizeof(faults)) == 0);
	CHECK(read(queue, faults, 0) == 0);
	trigger(0x1000);
	trigger(0x200002000);
	trigger(0x3000);
	CHECK(read(queue, faults, 39) == -1 && errno == ESPIPE);
	CHECK(read(queue, nothing, 0) == -1 && errno == EINVAL);
	CHECK(pread(queue, faults, sizeof(faults), 0) == -1 && errno == ESPIPE);
	CHECK(lseek(queue, 0, SEEK_SET) == -1 && errno == ESPIPE);
	CHECK(read(queue, nothing, sizeof(faults)) == -1 && errno == EFAULT);
	CHECK(read(queue, faults, 2 * sizeof(*faults)) == 2 * sizeof(*faults));
	CHECK(faults[0].addr == 0x1000 && faults[1].addr == 0x200002000);
	CHECK(faults[0].cookie == 1 && faults[1].cookie == 2);
	CHECK(faults[0].flags == 2 && faults[0].dev_id == idev);
	CHECK(faults[0].grpid == 7 && faults[0].perm == 2);
	CHECK(read(queue, faults, sizeof(faults)) == sizeof(*faults));
	CHECK(faults[0].addr == 0x3000 && faults[0].cookie == 3);
	CHECK(read(queue, faults, sizeof(faults)) == 0);
}

static void writes(void)
{
	struct response responses[3] = { { 1, SUCCESS }, { 9, SUCCESS }, { 2, SUCCESS } };

	trigger(0x1000);
	trigger(0x2000);
	CHECK(take().cookie == 1 && take().cookie == 2);
	CHECK(write(queue, responses, 12) == -1 && errno == ESPIPE);
	CHECK(pwrite(queue, responses, 8, 0) == -1 && errno == ESPIPE);
	/* The first is taken, the second is bad: so much was written. */
	CHECK(write(queue, responses, sizeof(responses)) == sizeof(*responses));
	CHECK(write(queue, responses, sizeof(*responses)) == -1 && errno == EINVAL);
	responses[2].code = 7;
	CHECK(write(queue, &responses[2], sizeof(*responses)) == -1 && errno == EINVAL);
	answer(2, INVALID);
	CHECK(ioctl(queue, FAULT_QUEUE_ALLOC, responses) == -1 && errno == ENOTTY);
}

static void *later(void *nothing)
{
	(void)nothing;
	usleep(10000);
	trigger(0x4000);
	return NULL;
}

/* A poll that waits is woken by the event, and not before. */
static void polls(void)
{
	pthread_t thread;
	struct pollfd request = { .fd = queue, .events = POLLIN };

	CHECK(ready(0) == POLLOUT);
	CHECK(poll(&request, 1, 20) == 0);
	for (int round = 0; round < 20; round++) {
		CHECK(pthread_create(&thread, NULL, later, NULL) == 0);
		CHECK(poll(&request, 1, PATIENCE_MS) == 1 && request.revents == POLLIN);
		CHECK(pthread_join(thread, NULL) == 0);
		CHECK(ready(0) == (POLLIN | POLLOUT));
		answer(take().cookie, SUCCESS);
		CHECK(ready(0) == POLLOUT && poll(&request, 1, 0) == 0);
	}
}

static void selects(void)
{
	pthread_t thread;
	fd_set set, writable;
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 }, none = { 0 };

	FD_ZERO(&set);
	FD_ZERO(&writable);
	FD_SET(queue, &set);
	FD_SET(queue, &writable);
	CHECK(select(queue + 1, &set, &writable, NULL, &none) == 1);
	CHECK(!FD_ISSET(queue, &set) && FD_ISSET(queue, &writable));
	CHECK(pthread_create(&thread, NULL, later, NULL) == 0);
	FD_SET(queue, &set);
	CHECK(select(queue + 1, &set, NULL, NULL, &patience) == 1 && FD_ISSET(queue, &set));
	CHECK(pthread_join(thread, NULL) == 0);
}

static int waited(int epoll, int timeout)
{
	struct epoll_event event = { 0 };
	int count = epoll_wait(epoll, &event, 1, timeout);

	CHECK(count >= 0);
	return count == 0 ? 0 : (int)event.events;
}

/* Level-triggered: it is told as long as there is something to read. */
static void levels(void)
{
	int epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	pthread_t thread;

	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, queue, &event) == 0);
	CHECK(waited(epoll, 20) == 0);
	for (int round = 0; round < 20; round++) {
		CHECK(pthread_create(&thread, NULL, later, NULL) == 0);
		CHECK(waited(epoll, PATIENCE_MS) == EPOLLIN);
		CHECK(pthread_join(thread, NULL) == 0);
		CHECK(waited(epoll, PATIENCE_MS) == EPOLLIN);
		answer(take().cookie, SUCCESS);
		CHECK(waited(epoll, 0) == 0);
	}
}

/* Edge-triggered: it is told once for what has come, and again when more comes, read or not. */
static void edges(void)
{
	int epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, queue, &event) == 0);
	CHECK(waited(epoll, 20) == 0);
	for (int round = 0; round < 20; round++) {
		trigger(0x1000 * round);
		CHECK(waited(epoll, PATIENCE_MS) == EPOLLIN);
		CHECK(waited(epoll, 20) == 0);
	}
	while (ready(0) & POLLIN)
		take();
	CHECK(waited(epoll, 20) == 0);
}

/* Two threads wait, and both are woken; a process that was forked waits on the same file. */
static void *waits(void *result)
{
	*(int *)result = ready(PATIENCE_MS);
	struct pollfd request = { .fd = queue, .events = POLLIN };

	CHECK(poll(&request, 1, PATIENCE_MS) == 1);
	*(int *)result = request.revents;
	return NULL;
}

static void many(void)
{
	pthread_t threads[4];
	int results[4], status;
	pid_t child = fork();

	if (child == 0) {
		waits(&results[0]);
		_exit(results[0] == POLLIN ? 0 : 1);
	}
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, waits, &results[i]) == 0);
	usleep(50000);
	trigger(0x1000);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(threads[i], NULL) == 0 && results[i] == POLLIN);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* The page table refers to the queue, and so does the queue's file; it keeps the context too. */
static void life(void)
{
	uint32_t words[2] = { 8, queue_id };
	struct fault fault;
	int copy = dup(queue);

	trigger(0x1000);
	trigger(0x2000);
	answer(take().cookie, SUCCESS);
	CHECK(ioctl(iommu, DESTROY, words) == -1 && errno == EBUSY);
	/* What is not answered when the device is taken away is answered for us. */
	attach(ioas);
	CHECK(ready(0) == POLLOUT);
	trigger(0x3000);
	CHECK(ready(0) == POLLOUT);
	attach(fault_table());
	trigger(0x4000);
	close(queue);
	queue = copy;
	CHECK(ioctl(iommu, DESTROY, words) == -1 && errno == EBUSY);
	close(iommu);
	CHECK(take().addr == 0x4000);
	CHECK(read(queue, &fault, sizeof(fault)) == 0);
	answer(1, SUCCESS);
	close(queue);
}

static void refused(void)
{
	char path[200];
	uint32_t alloc[4] = { 16, 0, 0, -1 }, words[2] = { 8, 1 };

	snprintf(path, sizeof(path), "%s/iommu", getenv("FILES"));
	iommu = open(path, O_RDWR);
	CHECK(iommu >= 0);
	CHECK(ioctl(iommu, FAULT_QUEUE_ALLOC, alloc) == -1 && errno == EOPNOTSUPP);
	/* Nothing is left of it. */
	CHECK(ioctl(iommu, DESTROY, words) == -1 && errno == ENOENT);
}

static const struct task tasks[] = {
	{ "reads", reads },   { "writes", writes }, { "polls", polls }, { "selects", selects },
	{ "levels", levels }, { "edges", edges },   { "many", many },   { "life", life },
	{ NULL, NULL },
};

int main(int argc, char **argv)
{
	static const struct task without_files[] = { { "refused", refused }, { NULL, NULL } };
	const char *name = argc == 2 ? argv[1] : "";

	if (strcmp(name, "refused") == 0)
		return run_task(without_files, name);
	setup();
	return run_task(tasks, name);
}
