/*
 * Memory of a program of its own, for the benchmark `dma`, and the reference that writes to it.
 *
 * Usage: process-memory hold KIND BYTES. It fills so many bytes of memory of its own, prints its process id
 * and their address, and keeps them until its stdin ends. KIND is `private` or `shared`, anonymous memory
 * both, or a folder for a file without a name.
 *
 * Usage: process-memory write PID ADDRESS BYTES SIZE PIECES COPIES. For every line that it reads from stdin
 * it writes SIZE bytes COPIES times by process_vm_writev, to places that go round in the BYTES bytes at
 * ADDRESS of process PID, and prints the nanoseconds of one call. With more than one piece, those are pages
 * that do not follow each other. After each it reads back what was written last, and compares.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>
#include "measure.h"

#define PAGE 4096ul
/* As in src/bench/dma-targets.ts: page i of the scattered ones is number i * STRIDE, modulo their count. */
#define STRIDE 1021ul
#define MOST_PIECES 256

static int hold(const char *kind, size_t bytes)
{
	int file = *kind == '/' ? open(kind, O_TMPFILE | O_RDWR, 0600) : -1;
	int flags = strcmp(kind, "private") == 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;

	if (file < 0)
		flags |= MAP_ANONYMOUS;
	if (*kind == '/' && (file < 0 || ftruncate(file, bytes) != 0))
		return 1;
	unsigned char *at = mmap(0, bytes, PROT_READ | PROT_WRITE, flags, file, 0);
	if (at == MAP_FAILED)
		return 1;
	/* Pages of 4 KiB, however the machine is set: those of most memory, and the slower case. */
	madvise(at, bytes, MADV_NOHUGEPAGE);
	memset(at, 1, bytes);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	printf("%d %lu\n", getpid(), (unsigned long)at);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}

/* What is written by write number `n`, in `pieces`: always at the same places as on our side. */
static void aim(struct iovec *remote, size_t base, size_t bytes, size_t size, size_t pieces, size_t n)
{
	size_t at = n * size % bytes, pages = bytes / PAGE;

	for (size_t i = 0; i < pieces; i++) {
		size_t page = (at / PAGE + i) % pages * STRIDE % pages;
		remote[i].iov_base = (void *)(base + (pieces == 1 ? at : page * PAGE));
		remote[i].iov_len = size / pieces;
	}
}

static int write_to(pid_t pid, size_t base, size_t bytes, size_t size, size_t pieces, size_t copies)
{
	unsigned char *source = malloc(size), *check = malloc(size);
	struct iovec local = {source, size}, back = {check, size}, remote[MOST_PIECES];
	size_t n = 0;

	if (!source || !check || pieces > MOST_PIECES || (pieces > 1 && size != pieces * PAGE))
		return 1;
	for (size_t i = 0; i < size; i++)
		source[i] = (unsigned char)(i * 11 + 3);
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		double begin = cpu_ns();
		for (size_t i = 0; i < copies; i++) {
			aim(remote, base, bytes, size, pieces, n++);
			if (process_vm_writev(pid, &local, 1, remote, pieces, 0) != (ssize_t)size)
				return 1;
		}
		double end = cpu_ns();
		/* Before it is told: then the other side writes there. */
		if (process_vm_readv(pid, &back, 1, remote, pieces, 0) != (ssize_t)size ||
		    memcmp(source, check, size) != 0)
			return 1;
		printf("%.3f\n", (end - begin) / copies);
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	size_t numbers[8] = {0};

	for (int i = 2; i < argc && i < 8; i++)
		numbers[i] = strtoul(argv[i], 0, 10);
	if (argc == 4 && strcmp(argv[1], "hold") == 0)
		return hold(argv[2], numbers[3]);
	if (argc == 8 && strcmp(argv[1], "write") == 0)
		return write_to(numbers[2], numbers[3], numbers[4], numbers[5], numbers[6], numbers[7]);
	return 2;
}
