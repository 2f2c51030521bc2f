/*
 * iommufd and VFIO: a device file is bound to /dev/iommu and attached to an address space there. From then
 * on its DMA reaches what is mapped in it, and nothing else. The device is QEMU's edu, whose DMA engine
 * copies to and from a buffer of its own.
 *
 *     cc -o iommufd examples/iommufd.c
 *     npx ioasid run --device edu -- ./iommufd
 */
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SOURCE = 0x80, DESTINATION = 0x88, COUNT = 0x90, COMMAND = 0x98, BUFFER = 0x40000 };
enum { RUN = 1, TO_MEMORY = 2 };

static int device;
static uint64_t bar;

static void must(long result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	exit(1);
}

static uint64_t region(int index)
{
	struct vfio_region_info info = {.argsz = sizeof info, .index = index};

	must(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info), "VFIO_DEVICE_GET_REGION_INFO");
	return info.offset;
}

static void write64(uint64_t offset, uint64_t value)
{
	must(pwrite(device, &value, sizeof value, bar + offset), "write of a register");
}

/* A DMA, from its beginning to its end. */
static void copy(uint64_t source, uint64_t destination, uint64_t length, uint64_t direction)
{
	uint64_t running;

	write64(SOURCE, source);
	write64(DESTINATION, destination);
	write64(COUNT, length);
	write64(COMMAND, RUN | direction);
	do
		must(pread(device, &running, sizeof running, bar + COMMAND), "read of a register");
	while (running & RUN);
}

int main(void)
{
	char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	must(iommu, "/dev/iommu");
	struct iommu_ioas_alloc ioas = {.size = sizeof ioas};
	must(ioctl(iommu, IOMMU_IOAS_ALLOC, &ioas), "IOMMU_IOAS_ALLOC");
	struct iommu_ioas_map map = {.size = sizeof map,
				     .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
				     .ioas_id = ioas.out_ioas_id,
				     .user_va = (uintptr_t)memory,
				     .length = 8192};
	must(ioctl(iommu, IOMMU_IOAS_MAP, &map), "IOMMU_IOAS_MAP");

	device = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
	must(device, "/dev/vfio/devices/vfio0");
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof bind, .iommufd = iommu};
	must(ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind), "VFIO_DEVICE_BIND_IOMMUFD");
	struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof attach, .pt_id = ioas.out_ioas_id};
	must(ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
	bar = region(VFIO_PCI_BAR0_REGION_INDEX);
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	uint64_t config = region(VFIO_PCI_CONFIG_REGION_INDEX);
	must(pwrite(device, &command, 2, config + PCI_COMMAND), "command register");

	strcpy(memory, "there and back");
	copy(map.iova, BUFFER, 16, 0);
	copy(BUFFER, map.iova + 4096, 16, TO_MEMORY);
	printf("the device has copied: %s\n", memory + 4096);
	return 0;
}
