/*
 * Reference of the benchmark `dma`: memcpy into a memfd that is mapped shared into this process.
 *
 * Usage: memcpy SIZE COPIES. For every line that it reads from stdin it copies SIZE bytes COPIES times, to
 * places that go round through a 16 MiB memfd, and prints the nanoseconds of one copy. In the end it reads
 * the file back by pread and compares.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "measure.h"

#define FILE_SIZE (16ul << 20)

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	size_t size = strtoul(argv[1], 0, 10), copies = strtoul(argv[2], 0, 10), at = 0;
	int fd = memfd_create("reference", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, FILE_SIZE) != 0)
		return 1;
	unsigned char *target = mmap(0, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	unsigned char *source = malloc(size), *check = malloc(size);
	if (target == MAP_FAILED || !source || !check)
		return 1;
	for (size_t i = 0; i < size; i++)
		source[i] = (unsigned char)(i * 7 + 1);
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		double begin = cpu_ns();
		for (size_t i = 0; i < copies; i++) {
			memcpy(target + at, source, size);
			at = (at + size) % FILE_SIZE;
		}
		printf("%.3f\n", (cpu_ns() - begin) / copies);
		fflush(stdout);
	}
	size_t last = (at + FILE_SIZE - size) % FILE_SIZE;
	return pread(fd, check, size, last) == (ssize_t)size && memcmp(check, source, size) == 0 ? 0 : 1;
}
