/*
 * Writes numbered records of 4 KiB to a disk, flushes them every now and then, and says each time how many
 * are on the disk for good: "flushed 17" means records 0 to 16. Never the same in two rounds.
 *
 *     records DEVICE ROUND
 *
 * Record n is at a place that looks random, so that few are written with their neighbours. Its words are a
 * function of round, n and their place in it: src/guest/records.ts knows the same.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORDS 1024
#define RECORD (WORDS * sizeof(uint32_t))
/* Odd, so that no two records of a disk with a power of two of them share a place. */
#define STRIDE 40503
#define LONGEST_BATCH 64

static uint32_t mix(uint32_t x)
{
	x = (x ^ x >> 16) * 0x7feb352d;
	x = (x ^ x >> 15) * 0x846ca68b;
	return x ^ x >> 16;
}

static int write_record(int fd, uint32_t round, uint32_t n, uint64_t places)
{
	uint32_t words[WORDS], seed = mix(mix(round) + n);

	for (uint32_t word = 0; word < WORDS; word++)
		words[word] = mix(seed + word);
	return pwrite(fd, words, RECORD, n * (uint64_t)STRIDE % places * RECORD) == RECORD ? 0 : -1;
}

int main(int argc, char **argv)
{
	uint32_t round, n = 0;
	uint64_t places;
	off_t size;
	int fd;

	if (argc != 3 || (fd = open(argv[1], O_RDWR)) < 0 || (size = lseek(fd, 0, SEEK_END)) < 0)
		return 1;
	round = strtoul(argv[2], NULL, 10);
	places = size / RECORD;
	while (n < places) {
		uint32_t end = n + 1 + mix(round + n) % LONGEST_BATCH;

		for (; n < end && n < places; n++)
			if (write_record(fd, round, n, places))
				return 1;
		if (fdatasync(fd))
			return 1;
		printf("flushed %u\n", n);
		fflush(stdout);
	}
	return 0;
}
