/*
 * Drives the device of checksum.js: the Adler-32 of 1 MiB of this program's memory, computed by the device
 * through the IOMMU.
 *
 *     cc -I include -o checksum examples/checksum.c
 *     ioasid run --device ./examples/checksum.js -- ./checksum
 */
#include <fcntl.h>
#include <ioasid.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LENGTH = 1 << 20, PASID = 0x04, DOORBELL = 0x08 };
struct job { uint64_t address, length; uint32_t status, checksum; uint64_t fault; };

/* Ends the program when a call on one of ioasid's files failed, with the reason that the file has for it. */
static void must(int fd, long result, const char *what) {
	struct ioasid_explain why = { .size = sizeof(why) };
	if (result >= 0)
		return;
	perror(what);
	if (fd >= 0 && ioctl(fd, IOASID_EXPLAIN, &why) == 0)
		fprintf(stderr, "%s\n", why.reason);
	exit(1);
}

/* Where a region (a BAR, configuration space) lies in the device file. */
static uint64_t region(int device, int index) {
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };
	must(device, ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info), "VFIO_DEVICE_GET_REGION_INFO");
	return info.offset;
}

int main(void) {
	/* The security context, a PASID in it, and memory of ours in the PASID: data, and the job's page. */
	int context = open("/dev/ioasid", O_RDWR | O_CLOEXEC);
	must(context, context, "/dev/ioasid");
	struct ioasid_alloc alloc = { .size = sizeof(alloc), .kind = IOASID_KIND_MAPPED };
	must(context, ioctl(context, IOASID_ALLOC, &alloc), "IOASID_ALLOC");
	int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
	unsigned char *data = mmap(NULL, LENGTH + 4096, PROT_READ | PROT_WRITE, anonymous, -1, 0);
	struct ioasid_map map = { .size = sizeof(map), .flags = IOASID_MAP_READ | IOASID_MAP_WRITE,
		.pasid = alloc.pasid, .user_va = (uintptr_t)data, .length = LENGTH + 4096 };
	must(context, ioctl(context, IOASID_MAP, &map), "IOASID_MAP");

	/* The device. Both descriptors are presented: from here on it may use the PASID. */
	int device = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
	must(device, device, "/dev/vfio/devices/vfio0");
	struct ioasid_authorize authorize = { .size = sizeof(authorize), .ioasid_fd = context,
		.pasid = alloc.pasid };
	must(device, ioctl(device, IOASID_AUTHORIZE, &authorize), "IOASID_AUTHORIZE");
	uint64_t bar = region(device, VFIO_PCI_BAR0_REGION_INDEX);
	uint64_t config = region(device, VFIO_PCI_CONFIG_REGION_INDEX);
	/* Without bus mastering there is no DMA. */
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	must(device, pwrite(device, &command, 2, config + PCI_COMMAND), "write of the command register");
	struct vfio_irq_set *irq = calloc(1, sizeof(*irq) + sizeof(int));
	*irq = (struct vfio_irq_set){ .argsz = sizeof(*irq) + sizeof(int), .count = 1,
		.index = VFIO_PCI_MSI_IRQ_INDEX,
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER };
	int done = eventfd(0, EFD_CLOEXEC);
	*(int *)irq->data = done;
	must(device, ioctl(device, VFIO_DEVICE_SET_IRQS, irq), "VFIO_DEVICE_SET_IRQS");

	/* One job: start it at the doorbell, sleep until the interrupt, compare with the CPU's result. */
	uint32_t a = 1, b = 0;
	for (int i = 0; i < LENGTH; i++)
		b = (b + (a = (a + (data[i] = i * 7 ^ i >> 8)) % 65521)) % 65521;
	struct job *job = (struct job *)(data + LENGTH);
	*job = (struct job){ .address = map.iova, .length = LENGTH };
	uint64_t doorbell = map.iova + LENGTH, count;
	must(device, pwrite(device, &alloc.pasid, 4, bar + PASID), "write of the PASID register");
	must(device, pwrite(device, &doorbell, 8, bar + DOORBELL), "write of the doorbell");
	must(-1, read(done, &count, sizeof(count)), "read of the eventfd");
	uint32_t expected = b << 16 | a;
	printf("PASID %u: status %u, device %08x, CPU %08x\n", alloc.pasid, job->status, job->checksum,
	       expected);
	return job->status == 1 && job->checksum == expected ? 0 : 1;
}
