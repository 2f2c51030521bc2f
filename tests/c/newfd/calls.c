/* One call after the other: what each gives, and what a refusal leaves. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "newfd.h"

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
	int null = open("/dev/null", O_RDWR), memfd = memfd_create("x", 0);
	int path = open("/dev/maker", O_PATH), pipes[2];

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

/* The kernel forgets their inodes, and the server has nothing of them but what it may keep of the last. */
static void kept(void)
{
	const int few = 8;

	for (int i = 0; i < 200; i++)
		close(i % 2 == 0 ? make(maker) : ioctl(maker, GET_DEVICE_FD, "device"));
	for (int round = 0; round < 2000 && ioctl(maker, KEPT) > few; round++)
		usleep(10000);
	CHECK(ioctl(maker, KEPT) <= few);
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

static void refused(void)
{
	struct alloc alloc = { .size = sizeof(alloc) };

	CHECK(ioctl(maker, FAULT_QUEUE_ALLOC, &alloc) == -1 && errno == EOPNOTSUPP);
	CHECK(ioctl(maker, LIVING) == 1);
}

const struct task call_tasks[] = {
	{ "one", one },
	{ "refusals", refusals },
	{ "bug", bug },
	{ "elsewhere", elsewhere },
	{ "full", full },
	{ "reopened", reopened },
	{ "refused", refused },
	{ "kept", kept },
	{ NULL, NULL },
};
