/*
 * The client of the benchmark `ioctl`, the same for both servers: IOASID_GET_INFO over and over; or, with
 * `changing`, an IOASID_UNMAP of all that is in a PASID, which is nothing, of ever another PASID.
 *
 * Usage: ioctl-client FILE CALLS [changing]. For every line that it reads from stdin it makes CALLS calls and
 * prints the nanoseconds of one. The struct is made anew for every call and every answer is looked at; a
 * wrong one ends the program with status 1.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "../include/ioasid.h"
#include "measure.h"

static void get_info(int fd)
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

#define PASIDS 64
static __u32 pasids[PASIDS];

static void allocate(int fd)
{
	for (int n = 0; n < PASIDS; n++) {
		struct ioasid_alloc alloc = {.size = sizeof alloc, .kind = IOASID_KIND_MAPPED};
		if (ioctl(fd, IOASID_ALLOC, &alloc) != 0) {
			perror("ALLOC");
			exit(1);
		}
		pasids[n] = alloc.pasid;
	}
}

static void unmap(int fd, __u32 pasid)
{
	struct ioasid_unmap unmap = {.size = sizeof unmap, .flags = IOASID_UNMAP_ALL, .pasid = pasid};
	if (ioctl(fd, IOASID_UNMAP, &unmap) != 0) {
		perror("UNMAP");
		exit(1);
	}
	if (unmap.length != 0) {
		fprintf(stderr, "%llu bytes were unmapped of none\n", (unsigned long long)unmap.length);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	int changing = argc == 4 && strcmp(argv[3], "changing") == 0;
	if (argc != 3 && !changing)
		return 2;
	long calls = strtol(argv[2], 0, 10);
	int fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	if (changing)
		allocate(fd);
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		double begin = now_ns();
		for (long i = 0; i < calls; i++) {
			if (changing)
				unmap(fd, pasids[i % PASIDS]);
			else
				get_info(fd);
		}
		printf("%.1f\n", (now_ns() - begin) / calls);
		fflush(stdout);
	}
	return 0;
}
