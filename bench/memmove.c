/*
 * The client of the benchmark `memmove`: a DSA moves a memfd to another one, beside memcpy.
 *
 * Usage: memmove SIZE BYTES. It maps two memfds of BYTES bytes for /dev/vfio/devices/vfio0, and itself. Of
 * the lines that it reads from stdin the first, third, ... are for memcpy, the others for descriptors of SIZE
 * bytes each, up to DEPTH of them under way: all of one memfd is moved to the other, and the nanoseconds of
 * one descriptor's bytes are printed. A wrong result ends the program with status 1.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/idxd.h>
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

#define BAR(n) ((off_t)(n) << 40)
#define DEPTH 8
#define FROM 0x100000000ul
#define TO 0x200000000ul
#define RECORDS 0x10000ul

struct area {
	int fd;
	unsigned char *at;
};

static int ioasid, device;
static uint32_t pasid;
static struct area records;

/* A memfd, mapped here and for the PASID at `iova`. */
static struct area make_area(size_t bytes, uint64_t iova)
{
	struct area area = {.fd = memfd_create("area", MFD_CLOEXEC)};
	struct ioasid_map_file map = {
		.size = sizeof map,
		.flags = IOASID_MAP_READ | IOASID_MAP_WRITE | IOASID_MAP_FIXED_IOVA,
		.pasid = pasid,
		.fd = area.fd,
		.length = bytes,
		.iova = iova,
	};

	check(area.fd >= 0 && ftruncate(area.fd, bytes) == 0, "memfd");
	area.at = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, area.fd, 0);
	check(area.at != MAP_FAILED, "mmap");
	check(ioctl(ioasid, IOASID_MAP_FILE, &map) == 0, "IOASID_MAP_FILE");
	return area;
}

static void begin(void)
{
	struct ioasid_alloc alloc = {.size = sizeof alloc};
	struct ioasid_authorize authorize = {.size = sizeof authorize};
	uint16_t command = 6;

	ioasid = open("/dev/ioasid", O_RDWR);
	device = open("/dev/vfio/devices/vfio0", O_RDWR);
	check(ioasid >= 0 && device >= 0, "the files");
	check(ioctl(ioasid, IOASID_ALLOC, &alloc) == 0, "IOASID_ALLOC");
	pasid = alloc.pasid;
	authorize.ioasid_fd = ioasid;
	authorize.pasid = pasid;
	check(ioctl(device, IOASID_AUTHORIZE, &authorize) == 0, "IOASID_AUTHORIZE");
	check(pwrite(device, &command, 2, BAR(7) + 4) == 2, "the command register");
}

static volatile struct dsa_completion_record *record(size_t n)
{
	return (struct dsa_completion_record *)records.at + n % DEPTH;
}

static void submit(size_t n, uint32_t size)
{
	struct dsa_hw_desc move = {
		.pasid = pasid,
		.opcode = DSA_OPCODE_MEMMOVE,
		.flags = IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR,
		.completion_addr = RECORDS + n % DEPTH * sizeof(struct dsa_completion_record),
		.src_addr = FROM + n * size,
		.dst_addr = TO + n * size,
		.xfer_size = size,
	};

	record(n)->status = DSA_COMP_NONE;
	check(pwrite(device, &move, sizeof move, BAR(2)) == sizeof move, "a descriptor");
}

static void await(size_t n)
{
	while (record(n)->status == DSA_COMP_NONE)
		sched_yield();
	check(record(n)->status == DSA_COMP_SUCCESS, "a completion");
}

static void move_by_device(size_t count, uint32_t size)
{
	for (size_t n = 0; n < count + DEPTH; n++) {
		if (n >= DEPTH)
			await(n - DEPTH);
		if (n < count)
			submit(n, size);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	size_t size = strtoul(argv[1], 0, 10), bytes = strtoul(argv[2], 0, 10), count = bytes / size;

	begin();
	records = make_area(4096, RECORDS);
	struct area from = make_area(bytes, FROM), to = make_area(bytes, TO);
	for (int c, pass = 0; (c = getchar()) != EOF; pass++) {
		memset(from.at, pass, bytes);
		double start = now_ns();
		if (pass % 2 == 1)
			move_by_device(count, size);
		else
			for (size_t n = 0; n < count; n++)
				memcpy(to.at + n * size, from.at + n * size, size);
		printf("%.0f\n", (now_ns() - start) / count);
		fflush(stdout);
		if (memcmp(from.at, to.at, bytes) != 0)
			return 1;
	}
	return 0;
}
