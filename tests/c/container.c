/*
 * What a program of the time before /dev/iommu does: it looks its device up in /sys, goes through container
 * and group, and lets the device copy memory. Arguments: the type of IOMMU (1 or 3), and "iommufd" where one
 * stands in for the container. Ends with 0 and says "ok" when all of it was as it must be.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { PAGE = 4096, IOVA = 0x10000, EDU_BUFFER = 0x40000, RUN = 1, TO_MEMORY = 2 };
enum { SOURCE = 0x80, DESTINATION = 0x88, COUNT = 0x90, COMMAND = 0x98 };

static void text(const char *path, char *into, size_t room)
{
	int fd = open(path, O_RDONLY);
	CHECK(fd >= 0);
	ssize_t length = read(fd, into, room - 1);
	CHECK(length >= 0);
	into[length] = 0;
	close(fd);
}

/* The device whose vendor and device ids are these. */
static void find(const char *vendor, const char *device, char *bdf, int *group)
{
	DIR *folder = opendir("/sys/bus/pci/devices");
	CHECK(folder);
	for (struct dirent *entry; (entry = readdir(folder));) {
		char path[600], value[64], target[512];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/vendor", entry->d_name);
		text(path, value, sizeof value);
		if (strcmp(value, vendor))
			continue;
		snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/device", entry->d_name);
		text(path, value, sizeof value);
		if (strcmp(value, device))
			continue;
		snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/iommu_group", entry->d_name);
		ssize_t length = readlink(path, target, sizeof target - 1);
		CHECK(length > 0);
		target[length] = 0;
		*group = atoi(strrchr(target, '/') + 1);
		strcpy(bdf, entry->d_name);
		snprintf(path, sizeof path, "/sys/kernel/iommu_groups/%d/devices/%s/class", *group, bdf);
		text(path, value, sizeof value);
		CHECK(!strcmp(value, "0x00ff00\n"));
		closedir(folder);
		return;
	}
	CHECK(!"no such device");
}

static void set(int device, uint64_t bar, int at, uint64_t value)
{
	CHECK(pwrite(device, &value, 8, bar + at) == 8);
}

static void copy(int device, uint64_t bar, uint64_t from, uint64_t to, int direction)
{
	uint64_t command = RUN;
	set(device, bar, SOURCE, from);
	set(device, bar, DESTINATION, to);
	set(device, bar, COUNT, PAGE);
	set(device, bar, COMMAND, RUN | direction);
	while (command & RUN)
		CHECK(pread(device, &command, 8, bar + COMMAND) == 8);
}

static void map(int container, void *memory, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map request = {
		.argsz = sizeof request, .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory, .iova = iova, .size = size,
	};
	CHECK(!ioctl(container, VFIO_IOMMU_MAP_DMA, &request));
}

static uint64_t unmap(int container, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap request = { .argsz = sizeof request, .iova = iova, .size = size };
	CHECK(!ioctl(container, VFIO_IOMMU_UNMAP_DMA, &request));
	return request.size;
}

int main(int argc, char **argv)
{
	CHECK(argc >= 2);
	int type = atoi(argv[1]), compat = argc > 2, group_number;
	/* Only an iommufd takes a page out of the middle of a mapping, for version 1. */
	int cuts = compat && type == VFIO_TYPE1_IOMMU;
	char bdf[256], path[64];
	find("0x1234\n", "0x11e8\n", bdf, &group_number);

	int container = open("/dev/vfio/vfio", O_RDWR);
	CHECK(container >= 0);
	CHECK(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	CHECK(ioctl(container, VFIO_CHECK_EXTENSION, type) == 1);
	snprintf(path, sizeof path, "/dev/vfio/%d", group_number);
	int group = open(path, O_RDWR);
	CHECK(group >= 0);
	CHECK(open(path, O_RDWR) < 0 && errno == EBUSY);
	struct vfio_group_status status = { .argsz = sizeof status };
	CHECK(!ioctl(group, VFIO_GROUP_GET_STATUS, &status) && status.flags == VFIO_GROUP_FLAGS_VIABLE);
	CHECK(ioctl(container, VFIO_SET_IOMMU, type) < 0 && errno == (compat ? ENODEV : EINVAL));
	CHECK(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	CHECK(!ioctl(container, VFIO_SET_IOMMU, type));

	int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	CHECK(device >= 0);
	CHECK(fcntl(device, F_GETFD) & FD_CLOEXEC);
	struct vfio_device_info info = { .argsz = sizeof info };
	CHECK(!ioctl(device, VFIO_DEVICE_GET_INFO, &info) && info.flags & VFIO_DEVICE_FLAGS_PCI);
	struct vfio_region_info bar = { .argsz = sizeof bar, .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct vfio_region_info config = { .argsz = sizeof config, .index = VFIO_PCI_CONFIG_REGION_INDEX };
	CHECK(!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) && bar.size == 1 << 20);
	CHECK(!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config));
	uint16_t command = 6; /* memory space and bus master */
	CHECK(pwrite(device, &command, 2, config.offset + 4) == 2);

	char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	memset(memory + PAGE, 'x', PAGE);
	map(container, memory, IOVA, 4 * PAGE);
	if (type == VFIO_TYPE1_IOMMU)
		CHECK(unmap(container, IOVA + 2 * PAGE, PAGE) == (cuts ? PAGE : 0));
	copy(device, bar.offset, IOVA + PAGE, EDU_BUFFER, 0);
	copy(device, bar.offset, EDU_BUFFER, IOVA + 3 * PAGE, TO_MEMORY);
	CHECK(!memcmp(memory + PAGE, memory + 3 * PAGE, PAGE));
	copy(device, bar.offset, EDU_BUFFER, IOVA + 2 * PAGE, TO_MEMORY);
	CHECK(memory[2 * PAGE] == (cuts ? 0 : 'x'));
	CHECK(unmap(container, IOVA, 4 * PAGE) == (cuts ? 3 : 4) * PAGE);
	close(group);
	group = open(path, O_RDWR);
	CHECK(compat ? group >= 0 : group < 0 && errno == EBUSY);
	close(group);
	close(device);
	CHECK(open(path, O_RDWR) >= 0);
	puts("ok");
	return 0;
}
