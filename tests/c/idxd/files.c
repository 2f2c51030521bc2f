/* What write(2), poll(2) and their like are on the file of a work queue. */
#define _GNU_SOURCE
#include "idxd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void writes(void)
{
	int shared = open_wq(SHARED), other = open_wq(SHARED), dedicated = open_wq(DEDICATED);

	for (int i = 0; i < 3; i++) {
		move_by(shared);
		move_by(other);
		move_by(dedicated);
	}
	close(shared);
	move_by(other);
	close(other);
	close(dedicated);
}

/* The PASID and the privilege in a descriptor are not the program's to choose. */
static void identity(void)
{
	static uint8_t target;
	int wq = open_wq(SHARED);
	struct dsa_hw_desc fill = descriptor(DSA_OPCODE_MEMFILL, 0, NULL, &target, 1);

	fill.pattern = 0x11;
	fill.pasid = 0xfffff;
	fill.priv = 1;
	CHECK(write(wq, &fill, DESCRIPTOR) == DESCRIPTOR);
	CHECK(completion() == DSA_COMP_SUCCESS && target == 0x11);
	close(wq);
}

static void lengths(void)
{
	static uint8_t target[4];
	struct dsa_hw_desc some[4];
	int wq = open_wq(SHARED);

	for (int i = 0; i < 4; i++) {
		some[i] = descriptor(DSA_OPCODE_MEMFILL, 0, NULL, &target[i], 1);
		some[i].pattern = 0x22;
	}
	CHECK(write(wq, some, 0) == 0);
	CHECK(write(wq, some, DESCRIPTOR - 1) == 0);
	CHECK(pwrite(wq, some, 3 * DESCRIPTOR + 5, 77) == 3 * DESCRIPTOR);
	for (int i = 0; i < 3; i++)
		while (completion() == DSA_COMP_SUCCESS && target[i] == 0)
			;
	CHECK(target[0] == 0x22 && target[2] == 0x22 && target[3] == 0);
	/* One that is refused ends it, after those before it. */
	some[2].completion_addr += 16;
	CHECK(write(wq, some, sizeof(some)) == 2 * DESCRIPTOR);
	CHECK(write(wq, &some[2], DESCRIPTOR) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_write, wq, 8, DESCRIPTOR) == -1 && errno == EFAULT);
	close(wq);
}

static void others(void)
{
	char byte;
	int wq = open_wq(SHARED);

	CHECK(read(wq, &byte, 1) == -1 && errno == EINVAL);
	CHECK(ioctl(wq, _IO('x', 1), 0) == -1 && errno == ENOTTY);
	close(wq);
	CHECK(open("/dev/dsa/wq0.99", O_RDWR) == -1 && errno == ENOENT);
}

static void dedicated(void)
{
	int wq = open_wq(DEDICATED), copy = dup(wq);

	CHECK(open(DEDICATED, O_RDWR) == -1 && errno == EBUSY);
	close(wq);
	move_by(copy);
	CHECK(open(DEDICATED, O_RDWR) == -1 && errno == EBUSY);
	close(copy);
	close(open_wq(DEDICATED));
}

/* A hole, and what may not be written, fault with the address; a program that blocks on faults hears more. */
static void faults(void)
{
	uint8_t *pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int wq = open_wq(SHARED);
	struct dsa_hw_desc fill = descriptor(DSA_OPCODE_MEMFILL, 0, NULL, pages, 2 * PAGE);

	CHECK(pages != MAP_FAILED && mprotect(pages + PAGE, PAGE, PROT_READ) == 0);
	CHECK(write(wq, &fill, DESCRIPTOR) == DESCRIPTOR);
	CHECK(completion() == (DSA_COMP_PAGE_FAULT_NOBOF | 0x80));
	CHECK(record.fault_addr == (uintptr_t)pages + PAGE && record.bytes_completed == PAGE);
	CHECK(munmap(pages + PAGE, PAGE) == 0);
	fill = descriptor(DSA_OPCODE_MEMMOVE, IDXD_OP_FLAG_BOF, pages + PAGE, pages, PAGE);
	CHECK(write(wq, &fill, DESCRIPTOR) == DESCRIPTOR);
	CHECK(completion() == DSA_COMP_PAGE_FAULT_IR && record.fault_addr == (uintptr_t)pages + PAGE);
	CHECK(mprotect(pages, PAGE, PROT_NONE) == 0);
	fill = descriptor(DSA_OPCODE_MEMMOVE, 0, pages, pages + 2 * PAGE, PAGE);
	CHECK(write(wq, &fill, DESCRIPTOR) == DESCRIPTOR);
	CHECK(completion() == DSA_COMP_PAGE_FAULT_NOBOF);
	close(wq);
}

/* There is something to hear of when a completion record cannot be written, and only then. */
static void polled(void)
{
	int wq = open_wq(SHARED);
	struct pollfd poll_wq = { .fd = wq, .events = POLLIN | POLLOUT | POLLRDNORM };
	struct dsa_hw_desc lost = descriptor(DSA_OPCODE_NOOP, 0, NULL, NULL, 0);

	CHECK(poll(&poll_wq, 1, 0) == 0);
	lost.completion_addr = 64;
	CHECK(write(wq, &lost, DESCRIPTOR) == DESCRIPTOR);
	CHECK(poll(&poll_wq, 1, -1) == 1 && poll_wq.revents == (POLLIN | POLLRDNORM));
	close(wq);
}

const struct task file_tasks[] = {
	{ "writes", writes },   { "identity", identity }, { "lengths", lengths }, { "others", others },
	{ "dedicated", dedicated }, { "faults", faults }, { "polled", polled },   { NULL, NULL },
};
