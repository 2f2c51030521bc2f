/*
 * DMA of one device to the mapped BAR of another, and to its own. Argument: what the container is, "type1"
 * or "iommufd". The devices are edu (0000:3b:00.0) and src/testkit/ringing-device.ts (0000:3b:01.0). Says
 * "ok" when all of it was as it must be: an iommufd refuses the address of a BAR.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { PAGE = 4096, EDU_BUFFER = 0x40000, TO_MEMORY = 2, RUN = 1 };
enum { SOURCE = 0x80, DESTINATION = 0x88, COUNT = 0x90, COMMAND = 0x98, FACTORIAL = 0x08 };
enum { RINGING_BYTES = 0x8000, ADDER = 0x0c, MEMORY = 0x2000 };
enum { IOVA = 0x100000, BAR = 0x200000, OWN = 0x400000 };

static int container;

struct device {
	int fd, group;
	uint64_t bar, config;
};

static uint64_t region(int fd, uint32_t index)
{
	struct vfio_region_info info = { .argsz = sizeof info, .index = index };
	CHECK(!ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &info));
	return info.offset;
}

static void decode(const struct device *device, uint16_t command)
{
	CHECK(pwrite(device->fd, &command, 2, device->config + 4) == 2);
}

static int open_group(const char *bdf)
{
	char path[128], target[512];
	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/iommu_group", bdf);
	ssize_t length = readlink(path, target, sizeof target - 1);
	CHECK(length > 0);
	target[length] = 0;
	snprintf(path, sizeof path, "/dev/vfio/%s", strrchr(target, '/') + 1);
	int group = open(path, O_RDWR);
	CHECK(group >= 0);
	CHECK(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	return group;
}

static void open_device(struct device *device, const char *bdf)
{
	device->fd = ioctl(device->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	CHECK(device->fd >= 0);
	device->bar = region(device->fd, 0);
	device->config = region(device->fd, VFIO_PCI_CONFIG_REGION_INDEX);
	decode(device, 6);
}

static int map(const volatile void *memory, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map request = {
		.argsz = sizeof request, .flags = flags,
		.vaddr = (uintptr_t)memory, .iova = iova, .size = size,
	};
	return ioctl(container, VFIO_IOMMU_MAP_DMA, &request) ? errno : 0;
}

static void copy(const struct device *edu, uint64_t from, uint64_t to, uint64_t count, int direction)
{
	uint64_t command = RUN | direction;
	CHECK(pwrite(edu->fd, &from, 8, edu->bar + SOURCE) == 8);
	CHECK(pwrite(edu->fd, &to, 8, edu->bar + DESTINATION) == 8);
	CHECK(pwrite(edu->fd, &count, 8, edu->bar + COUNT) == 8);
	CHECK(pwrite(edu->fd, &command, 8, edu->bar + COMMAND) == 8);
	while (command & RUN)
		CHECK(pread(edu->fd, &command, 8, edu->bar + COMMAND) == 8);
}

/* Writes `memory` to the BAR, from `from` on, by DMA. */
static void send(const struct device *edu, uint64_t from, uint64_t to, uint64_t count)
{
	copy(edu, from, EDU_BUFFER, count, 0);
	copy(edu, EDU_BUFFER, to, count, TO_MEMORY);
}

static void *map_bar(const struct device *device, size_t length, int protection)
{
	void *at = mmap(NULL, length, protection, MAP_SHARED, device->fd, device->bar);
	CHECK(at != MAP_FAILED);
	return at;
}

static void reach(const struct device *edu, const struct device *ringing, uint32_t *memory, uint32_t *bar)
{
	const uint32_t both = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	const uint32_t *own = map_bar(edu, PAGE, PROT_READ | PROT_WRITE);
	uint32_t word;

	CHECK(map(bar, BAR, RINGING_BYTES, both) == 0);
	for (int i = 0; i < 1024; i++)
		memory[i] = 1000 + i;
	/* Memory of the BAR, which the program has itself. */
	send(edu, IOVA, BAR + MEMORY, PAGE);
	CHECK(bar[MEMORY / 4] == 1000 && bar[MEMORY / 4 + 1023] == 2023);
	/* A register: it adds to the first word of the memory. */
	send(edu, IOVA + 4, BAR + ADDER, 4);
	CHECK(bar[MEMORY / 4] == 2001 && bar[2] == 2001);
	/* A transfer from a register and from the memory. */
	copy(edu, BAR + 8, EDU_BUFFER, 4, 0);
	copy(edu, BAR + MEMORY + 4, EDU_BUFFER + 4, 4, 0);
	copy(edu, EDU_BUFFER, IOVA, 8, TO_MEMORY);
	CHECK(memory[0] == 2001 && memory[1] == 1001);
	/* Its own registers are not there while it is at work. */
	CHECK(map(own, OWN, PAGE, both) == 0);
	memory[0] = 7;
	send(edu, IOVA, OWN + FACTORIAL, 4);
	CHECK(own[FACTORIAL / 4] != 5040);
	/* The mapping of the program may go; that of the container stays. */
	CHECK(!munmap(bar, RINGING_BYTES));
	memory[0] = 41;
	send(edu, IOVA, BAR + MEMORY, 4);
	CHECK(pread(ringing->fd, &word, 4, ringing->bar + MEMORY) == 4 && word == 41);
	/* Nothing is reached while the device does not decode. */
	decode(ringing, 0);
	memory[0] = 42;
	send(edu, IOVA, BAR + MEMORY, 4);
	decode(ringing, 6);
	CHECK(pread(ringing->fd, &word, 4, ringing->bar + MEMORY) == 4 && word == 41);
	send(edu, IOVA, BAR + MEMORY, 4);
	CHECK(pread(ringing->fd, &word, 4, ringing->bar + MEMORY) == 4 && word == 42);
}

/* What is not all of it one BAR, or not there, or not to be written, is not mapped. */
static void refuse(const struct device *ringing, volatile uint32_t *bar)
{
	const uint32_t both = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	volatile uint32_t *readable = map_bar(ringing, PAGE, PROT_READ);

	CHECK(map(readable, 0x600000, PAGE, both) == EFAULT);
	CHECK(map(readable, 0x600000, PAGE, VFIO_DMA_MAP_FLAG_READ) == 0);
	CHECK(map(bar, 0x700000, RINGING_BYTES + PAGE, both) == EFAULT);
	decode(ringing, 0);
	CHECK(map(bar, 0x700000, PAGE, both) == EFAULT);
	decode(ringing, 6);
	CHECK(map(bar, 0x700000, PAGE, both) == 0);
	/* A piece of it moved to another place, with a hole behind it. */
	CHECK(!munmap((char *)bar + 3 * PAGE, PAGE));
	CHECK(map(bar, 0x800000, RINGING_BYTES, both) == EFAULT);
	CHECK(map((char *)bar + MEMORY, 0x800000, PAGE, both) == 0);
	CHECK(!munmap((void *)bar, RINGING_BYTES) && !munmap((void *)readable, PAGE));
}

/* A device that was closed is reached no more, and not either when it is open again. */
static void close_and_open(const struct device *edu, struct device *ringing, uint32_t *memory)
{
	uint32_t word;

	close(ringing->fd);
	open_device(ringing, "0000:3b:01.0");
	memory[0] = 43;
	send(edu, IOVA, BAR + MEMORY, 4);
	CHECK(pread(ringing->fd, &word, 4, ringing->bar + MEMORY) == 4 && word == 0);
}

int main(int argc, char **argv)
{
	const uint32_t both = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	struct device edu, ringing;

	container = open("/dev/vfio/vfio", O_RDWR);
	CHECK(argc == 2 && container >= 0);
	edu.group = open_group("0000:3b:00.0");
	ringing.group = open_group("0000:3b:01.0");
	CHECK(!ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	open_device(&edu, "0000:3b:00.0");
	open_device(&ringing, "0000:3b:01.0");

	uint32_t *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED && map(memory, IOVA, PAGE, both) == 0);
	uint32_t *bar = map_bar(&ringing, RINGING_BYTES, PROT_READ | PROT_WRITE);
	if (strcmp(argv[1], "iommufd") == 0) {
		for (size_t at = 0; at < RINGING_BYTES; at += PAGE)
			CHECK(map((char *)bar + at, BAR, PAGE, both) == EFAULT);
		puts("ok");
		return 0;
	}
	refuse(&ringing, map_bar(&ringing, RINGING_BYTES, PROT_READ | PROT_WRITE));
	reach(&edu, &ringing, memory, bar);
	close_and_open(&edu, &ringing, memory);
	puts("ok");
	return 0;
}
