/*
 * The client of the benchmark `ioctl`, the same for both servers: IOASID_GET_INFO over and over.
 *
 * Usage: ioctl-client FILE CALLS. For every line that it reads from stdin it makes CALLS calls and prints the
 * nanoseconds of one. The struct is made anew for every call and every answer is looked at; a wrong one ends
 * the program with status 1.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include "../include/ioasid.h"

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void call(int fd)
{
	struct ioasid_info info = {.size = sizeof info};
	if (ioctl(fd, IOASID_GET_INFO, &info) != 0) {
		perror("GET_INFO");
		exit(1);
	}
	if (info.size != sizeof info || info.pasid_bits != 20 || info.address_bits != 48 ||
	    info.page_sizes != 4096) {
		fprintf(stderr, "a wrong answer: %u PASID bits, %u address bits\n", info.pasid_bits,
			info.address_bits);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	long calls = strtol(argv[2], 0, 10);
	int fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		double begin = now_ns();
		for (long i = 0; i < calls; i++)
			call(fd);
		printf("%.1f\n", (now_ns() - begin) / calls);
		fflush(stdout);
	}
	return 0;
}
