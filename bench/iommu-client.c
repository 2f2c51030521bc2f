/*
 * The client of the benchmark `ioctl` for /dev/iommu, the same for both servers: a mapping of 4 KiB, of
 * MAPPINGS, is taken out and put back by two ioctls. With `options`, the two ask for an option of the IOAS
 * instead: they have a struct read and written back, and nothing done.
 *
 * Usage: iommu-client FILE PAIRS [options]. For every line that it reads from stdin it makes PAIRS pairs, at
 * places far from each other, and prints the nanoseconds of one pair. An answer that is wrong ends the
 * program with status 1.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "iommufd.h"
#include "measure.h"

#define MAPPINGS 1024
#define STRIDE 389
#define PAGE 4096ul
#define BASE 0x100000000ul

static int iommu;
static uint32_t ioas;
static uint64_t memory;

static void call(const char *name, unsigned long request, void *argument)
{
	if (ioctl(iommu, request, argument) == 0)
		return;
	perror(name);
	exit(1);
}

static void map(unsigned i)
{
	struct iommu_ioas_map map = {
		.size = sizeof map,
		.flags = IOAS_MAP_FLAGS,
		.ioas_id = ioas,
		.user_va = memory + i * PAGE,
		.length = PAGE,
		.iova = BASE + i * PAGE,
	};

	call("IOMMU_IOAS_MAP", IOMMU_IOAS_MAP, &map);
	if (map.iova != BASE + i * PAGE)
		exit(1);
}

static void unmap(unsigned i)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof unmap, .ioas_id = ioas, .iova = BASE + i * PAGE, .length = PAGE};

	call("IOMMU_IOAS_UNMAP", IOMMU_IOAS_UNMAP, &unmap);
	if (unmap.length != PAGE)
		exit(1);
}

static void get_option(void)
{
	struct iommu_option option = {
		.size = sizeof option,
		.option_id = OPTION_HUGE_PAGES,
		.op = OPTION_GET,
		.object_id = ioas,
	};

	call("IOMMU_OPTION", IOMMU_OPTION, &option);
	if (option.val64 != 1)
		exit(1);
}

int main(int argc, char **argv)
{
	struct iommu_ioas_alloc alloc = {.size = sizeof alloc};
	unsigned at = 0;

	int options = argc == 4 && strcmp(argv[3], "options") == 0;

	if (argc != 3 && !options)
		return 2;
	long pairs = strtol(argv[2], 0, 10);
	iommu = open(argv[1], O_RDWR);
	if (iommu < 0) {
		perror(argv[1]);
		return 1;
	}
	void *area = mmap(0, MAPPINGS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return 1;
	memset(area, 1, MAPPINGS * PAGE);
	memory = (uintptr_t)area;
	call("IOMMU_IOAS_ALLOC", IOMMU_IOAS_ALLOC, &alloc);
	ioas = alloc.out_ioas_id;
	for (unsigned i = 0; i < MAPPINGS; i++)
		map(i);
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		double begin = now_ns();
		for (long i = 0; i < pairs; i++) {
			if (options) {
				get_option();
				get_option();
				continue;
			}
			at = (at + STRIDE) % MAPPINGS;
			unmap(at);
			map(at);
		}
		printf("%.1f\n", (now_ns() - begin) / pairs);
		fflush(stdout);
	}
	return 0;
}
