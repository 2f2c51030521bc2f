/*
 * The client of the benchmark `sva`: memory of its own is moved by a work queue of a DSA, beside memcpy.
 *
 * Usage: sva FILE SIZE COUNT. Of the lines that it reads from stdin the first, third, ... are for memcpy, the
 * others for descriptors that are written to FILE, one after the other: it moves SIZE bytes COUNT times and
 * prints the nanoseconds of one move. A wrong result ends the program with status 1.
 */
#include <fcntl.h>
#include <linux/idxd.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "measure.h"

static struct dsa_completion_record record __attribute__((aligned(32)));

static void move_by_device(int wq, const void *from, void *to, uint32_t size)
{
	struct dsa_hw_desc move = {
		.opcode = DSA_OPCODE_MEMMOVE,
		.flags = IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR,
		.completion_addr = (uintptr_t)&record,
		.src_addr = (uintptr_t)from,
		.dst_addr = (uintptr_t)to,
		.xfer_size = size,
	};

	record.status = DSA_COMP_NONE;
	if (write(wq, &move, sizeof(move)) != sizeof(move))
		exit(1);
	while (*(volatile uint8_t *)&record.status == DSA_COMP_NONE)
		sched_yield();
	if (record.status != DSA_COMP_SUCCESS)
		exit(1);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	size_t size = strtoul(argv[2], 0, 10), count = strtoul(argv[3], 0, 10);
	int wq = open(argv[1], O_RDWR), by_device = 0;
	unsigned char *from = malloc(size), *to = malloc(size);

	if (wq < 0 || !from || !to)
		return 1;
	for (int c, pass = 0; (c = getchar()) != EOF; pass++, by_device = !by_device) {
		memset(from, pass, size);
		memset(to, ~pass, size);
		double begin = now_ns();
		for (size_t i = 0; i < count; i++) {
			if (by_device)
				move_by_device(wq, from, to, size);
			else
				memcpy(to, from, size);
			__asm__ volatile("" ::: "memory");
		}
		printf("%.0f\n", (now_ns() - begin) / count);
		fflush(stdout);
		if (memcmp(from, to, size) != 0)
			return 1;
	}
	return 0;
}
