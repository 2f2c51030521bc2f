/*
 * DMA of one device to the BAR of another, and to its own. Argument: what the container is, "type1" or
 * "iommufd"; or "dma-buf": without one, an IOAS takes the BAR as a file. The devices are edu (0000:3b:00.0,
 * vfio0) and src/testkit/ringing-device.ts (0000:3b:01.0, vfio1). Says "ok" when all of it was as it must be:
 * an iommufd refuses the address of a BAR.
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

enum { IOAS_ALLOC = 0x3b81, IOAS_MAP = 0x3b85, IOAS_MAP_FILE = 0x3b8f, BIND = 0x3b76, ATTACH = 0x3b77 };
enum { DMA_BUF = 11, DMA_BUF_RANGES = 4, FIXED_READ_WRITE = 7 };

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

static int iommufd;
static uint32_t ioas;

/* A descriptor of `count` ranges of BAR `bar`, or a negative errno. */
static int export(const struct device *device, uint32_t bar, uint32_t count, uint64_t offset,
		  uint64_t length)
{
	struct {
		uint32_t argsz, flags, bar, open_flags, zero, count;
		uint64_t ranges[2 * DMA_BUF_RANGES];
	} request = {
		.argsz = sizeof request, .flags = DMA_BUF | VFIO_DEVICE_FEATURE_GET,
		.bar = bar, .count = count,
	};
	for (uint32_t i = 0; i < count && i < DMA_BUF_RANGES; i++) {
		request.ranges[2 * i] = offset;
		request.ranges[2 * i + 1] = length;
	}
	int fd = ioctl(device->fd, VFIO_DEVICE_FEATURE, &request);
	return fd < 0 ? -errno : fd;
}

static int map_file(int fd, uint64_t start, uint64_t length, uint64_t iova)
{
	struct {
		uint32_t size, flags, ioas;
		int32_t fd;
		uint64_t start, length, iova;
	} request = { sizeof request, FIXED_READ_WRITE, ioas, fd, start, length, iova };
	return ioctl(iommufd, IOAS_MAP_FILE, &request) ? errno : 0;
}

static void attach(struct device *device, const char *path)
{
	struct { uint32_t argsz, flags; int32_t iommufd; uint32_t id; } bind = { 16, 0, iommufd, 0 };
	struct { uint32_t argsz, flags, ioas; } attachment = { 12, 0, ioas };

	device->fd = open(path, O_RDWR);
	CHECK(device->fd >= 0);
	CHECK(!ioctl(device->fd, BIND, &bind) && !ioctl(device->fd, ATTACH, &attachment));
	device->bar = region(device->fd, 0);
	device->config = region(device->fd, VFIO_PCI_CONFIG_REGION_INDEX);
	decode(device, 6);
}

static void start_ioas(void *memory)
{
	struct { uint32_t size, flags, id; } alloc = { .size = 12 };
	struct {
		uint32_t size, flags, ioas, zero;
		uint64_t address, length, iova;
	} map = { .size = sizeof map, .flags = FIXED_READ_WRITE, .length = PAGE, .iova = IOVA };

	iommufd = open("/dev/iommu", O_RDWR);
	CHECK(iommufd >= 0 && !ioctl(iommufd, IOAS_ALLOC, &alloc));
	ioas = map.ioas = alloc.id;
	map.address = (uintptr_t)memory;
	CHECK(!ioctl(iommufd, IOAS_MAP, &map));
}

static uint32_t word_of(const struct device *device, uint64_t at)
{
	uint32_t word;

	CHECK(pread(device->fd, &word, 4, device->bar + at) == 4);
	return word;
}

/* What an IOAS has taken of a BAR is lost when the device stops to decode, and void when it is closed. */
static void lose(const struct device *edu, struct device *ringing, int file, uint32_t *memory)
{
	decode(ringing, 0);
	CHECK(map_file(file, 0, PAGE, BAR + 0x10000) == ENODEV);
	decode(ringing, 6);
	memory[0] = 6;
	send(edu, IOVA, BAR, 4);
	CHECK(word_of(ringing, MEMORY) == 5);
	CHECK(map_file(file, 0, PAGE, BAR + 0x10000) == 0);
	send(edu, IOVA, BAR + 0x10000, 4);
	CHECK(word_of(ringing, MEMORY) == 6);
	CHECK(!ioctl(ringing->fd, VFIO_DEVICE_RESET));
	send(edu, IOVA, BAR + 0x10000, 4);
	CHECK(word_of(ringing, MEMORY) == 0);
	close(ringing->fd);
	attach(ringing, "/dev/vfio/devices/vfio1");
	CHECK(map_file(file, 0, PAGE, BAR + 0x20000) == ENODEV);
	close(file);
}

static void dma_buf(uint32_t *memory)
{
	struct device edu, ringing;

	start_ioas(memory);
	attach(&edu, "/dev/vfio/devices/vfio0");
	attach(&ringing, "/dev/vfio/devices/vfio1");
	CHECK(export(&ringing, 0, 0, 0, PAGE) == -EINVAL && export(&ringing, 6, 1, 0, PAGE) == -ENODEV);
	CHECK(export(&ringing, 1, 1, 0, PAGE) == -ENODEV && export(&ringing, 0, 1, 0, 0) == -EINVAL);
	CHECK(export(&ringing, 0, 1, 8, PAGE) == -EINVAL && export(&ringing, 0, 1, 0, 2048) == -EINVAL);
	CHECK(export(&ringing, 0, 1, PAGE, RINGING_BYTES) == -EINVAL);
	CHECK(export(&ringing, 0, UINT32_MAX, 0, PAGE) == -ENOMEM);
	int file = export(&ringing, 0, 1, MEMORY, 2 * PAGE), two = export(&ringing, 0, 2, 0, PAGE);
	CHECK(file >= 0 && two >= 0 && fcntl(file, F_GETFD) & FD_CLOEXEC);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0) == MAP_FAILED && errno == ENODEV);
	CHECK(map_file(two, 0, PAGE, BAR) == EOPNOTSUPP && map_file(file, PAGE, 2 * PAGE, BAR) == EINVAL);
	CHECK(map_file(edu.fd, 0, PAGE, BAR) == EINVAL);
	CHECK(map_file(file, 0, 2 * PAGE, BAR) == 0);
	memory[0] = 5;
	send(&edu, IOVA, BAR, 4);
	send(&edu, IOVA, BAR + PAGE + 8, 4);
	CHECK(word_of(&ringing, MEMORY) == 5 && word_of(&ringing, MEMORY + PAGE + 8) == 5);
	lose(&edu, &ringing, file, memory);
	puts("ok");
}

int main(int argc, char **argv)
{
	const uint32_t both = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	struct device edu, ringing;
	uint32_t *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(argc == 2 && memory != MAP_FAILED);
	if (strcmp(argv[1], "dma-buf") == 0) {
		dma_buf(memory);
		return 0;
	}
	container = open("/dev/vfio/vfio", O_RDWR);
	CHECK(container >= 0);
	edu.group = open_group("0000:3b:00.0");
	ringing.group = open_group("0000:3b:01.0");
	CHECK(!ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	open_device(&edu, "0000:3b:00.0");
	open_device(&ringing, "0000:3b:01.0");

	CHECK(map(memory, IOVA, PAGE, both) == 0);
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
