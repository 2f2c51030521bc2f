/*
 * Asynchronous reads of a device file, by libaio's system calls and by io_uring: as pread(2) has it, or an
 * error, never 0 bytes of a register that is there. Argument: the device file. Prints what each way has read
 * of the vendor id, or the error's name.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "check.h"

static const off_t CONFIG = (off_t)7 << 40;
static unsigned char bytes[4];

static void say(const char *way, long result)
{
	if (result < 0)
		printf("%s %s\n", way, strerrorname_np(-result));
	else
		printf("%s %ld bytes, vendor %02x%02x\n", way, result, bytes[1], bytes[0]);
	memset(bytes, 0, sizeof bytes);
}

static void by_aio(int fd)
{
	aio_context_t context = 0;
	struct iocb request = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd,
			       .aio_buf = (uintptr_t)bytes, .aio_nbytes = sizeof bytes, .aio_offset = CONFIG};
	struct iocb *requests = &request;
	struct io_event event;

	CHECK(syscall(SYS_io_setup, 1, &context) == 0);
	CHECK(syscall(SYS_io_submit, context, 1, &requests) == 1);
	CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1);
	say("aio", event.res);
}

static char *ring(int fd, size_t size, off_t offset)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	CHECK(at != MAP_FAILED);
	return at;
}

static void by_io_uring(int fd)
{
	struct io_uring_params setup = {0};
	int uring = syscall(SYS_io_uring_setup, 1, &setup);

	if (uring < 0) {
		say("io_uring", -errno);
		return;
	}
	char *submit = ring(uring, setup.sq_off.array + sizeof(uint32_t), IORING_OFF_SQ_RING);
	char *complete = ring(uring, setup.cq_off.cqes + 2 * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	struct io_uring_sqe *entry = (void *)ring(uring, sizeof *entry, IORING_OFF_SQES);

	*entry = (struct io_uring_sqe){.opcode = IORING_OP_READ, .fd = fd, .addr = (uintptr_t)bytes,
				       .len = sizeof bytes, .off = CONFIG};
	*(uint32_t *)(submit + setup.sq_off.tail) = 1;
	CHECK(syscall(SYS_io_uring_enter, uring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	say("io_uring", ((struct io_uring_cqe *)(complete + setup.cq_off.cqes))->res);
}

int main(int count, char **words)
{
	CHECK(count == 2);
	int fd = open(words[1], O_RDWR);

	CHECK(fd >= 0);
	say("pread", pread(fd, bytes, sizeof bytes, CONFIG));
	by_aio(fd);
	by_io_uring(fd);
	return 0;
}
