/*
 * The client of the benchmark `ioctl` for a dsa: copies of 64 bytes, by descriptors that are written to its
 * file, each of other bytes. It waits for each completion record.
 *
 * Usage: dsa-client FOLDER COPIES. For every line that it reads from stdin it has COPIES copies made and
 * prints the nanoseconds of one. A copy that is wrong ends the program with status 1.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../include/ioasid.h"
#include "measure.h"

#define PAGE 4096ul
#define COPY 64
#define MEMMOVE (3u << 24)
#define WITH_COMPLETION 0xcu
#define PORTAL ((off_t)2 << 40)
#define COMMAND (((off_t)7 << 40) + 4)

struct descriptor {
	uint32_t pasid, flags;
	uint64_t completion, from, to;
	uint32_t length;
	uint8_t rest[28];
};

static int device;
static uint32_t pasid;
static uint64_t iova, seed = 1;
/* The source at 0, the target at COPY, the completion record at 2 * COPY. */
static uint8_t *memory;

static int opened(const char *folder, const char *name)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	int fd = open(path, O_RDWR);
	if (fd >= 0)
		return fd;
	perror(path);
	exit(1);
}

static void copy(void)
{
	volatile uint8_t *status = memory + 2 * COPY;
	struct descriptor memmove = {
		.pasid = pasid,
		.flags = MEMMOVE | WITH_COMPLETION,
		.completion = iova + 2 * COPY,
		.from = iova,
		.to = iova + COPY,
		.length = COPY,
	};

	for (int n = 0; n < COPY / 8; n++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		memcpy(memory + 8 * n, &seed, 8);
	}
	*status = 0;
	check(pwrite(device, &memmove, sizeof memmove, PORTAL) == sizeof memmove, "a descriptor is taken");
	while (*status == 0)
		sched_yield();
	check(*status == 1 && memcmp(memory, memory + COPY, COPY) == 0, "a copy is right");
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	long copies = strtol(argv[2], 0, 10);
	int ioasid = opened(argv[1], "ioasid");
	device = opened(argv[1], "vfio/devices/vfio0");
	memory = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(memory != MAP_FAILED, "memory");
	memset(memory, 0, PAGE);
	struct ioasid_alloc alloc = {.size = sizeof alloc, .kind = IOASID_KIND_MAPPED};
	check(ioctl(ioasid, IOASID_ALLOC, &alloc) == 0, "ALLOC");
	pasid = alloc.pasid;
	struct ioasid_map map = {
		.size = sizeof map,
		.flags = IOASID_MAP_READ | IOASID_MAP_WRITE,
		.pasid = pasid,
		.user_va = (uintptr_t)memory,
		.length = PAGE,
	};
	check(ioctl(ioasid, IOASID_MAP, &map) == 0, "MAP");
	iova = map.iova;
	struct ioasid_authorize authorize = {.size = sizeof authorize, .ioasid_fd = ioasid, .pasid = pasid};
	check(ioctl(device, IOASID_AUTHORIZE, &authorize) == 0, "AUTHORIZE");
	uint16_t command = 6;
	check(pwrite(device, &command, sizeof command, COMMAND) == sizeof command, "the command register");
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		double begin = now_ns();
		for (long i = 0; i < copies; i++)
			copy();
		printf("%.1f\n", (now_ns() - begin) / copies);
		fflush(stdout);
	}
	return 0;
}
