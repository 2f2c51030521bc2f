/*
 * Copies a page by a work queue of a DSA, as Linux's idxd serves it: with an argument by its mapped portal.
 *
 * cc -o move move.c && npx ioasid run --device dsa,idxd=1,ready=1 -- ./move
 */
#include <fcntl.h>
#include <immintrin.h>
#include <linux/idxd.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* ENQCMD says whether it must be tried again: the work queue is full. */
__attribute__((target("enqcmd"))) static void enqueue(void *portal, const struct dsa_hw_desc *descriptor)
{
	while (_enqcmd(portal, descriptor))
		;
}

int main(int argc, char **argv)
{
	static struct dsa_completion_record record __attribute__((aligned(32)));
	static char from[4096] = "moved by the device", to[4096];
	struct dsa_hw_desc move = {
		.opcode = DSA_OPCODE_MEMMOVE,
		.flags = IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR,
		.completion_addr = (uintptr_t)&record,
		.src_addr = (uintptr_t)from,
		.dst_addr = (uintptr_t)to,
		.xfer_size = sizeof(from),
	};
	int wq = open("/dev/dsa/wq0.0", O_RDWR);
	void *portal = argc > 1 ? mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, wq, 0) : NULL;

	if (wq == -1 || portal == MAP_FAILED) {
		perror(argv[0]);
		return 1;
	}
	if (portal != NULL)
		enqueue(portal, &move);
	else if (write(wq, &move, sizeof(move)) != sizeof(move))
		return 1;
	while (*(volatile uint8_t *)&record.status == DSA_COMP_NONE)
		;
	printf("status %d: %s\n", record.status, to);
	return record.status != DSA_COMP_SUCCESS;
}
