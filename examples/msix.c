/*
 * Eventfds and MSI-X: a DSA completes descriptors on three vectors, each of which is an eventfd that the
 * program polls. The address space is a PASID of /dev/ioasid.
 *
 *     cc -I include -o msix examples/msix.c
 *     npx ioasid run --device dsa,ready=1 -- ./msix
 */
#include <fcntl.h>
#include <ioasid.h>
#include <linux/idxd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* MSIXPERM of the specification: which PASID a vector is for. */
enum { VECTORS = 3, MSIXPERM = 0x1800, PASID_ENABLE = 8, PORTALS = 0x4000 };

static void must(long result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	exit(1);
}

/* Where byte 0 of a region of the device lies in its file. */
static uint64_t region(int device, int index)
{
	struct vfio_region_info info = {.argsz = sizeof info, .index = index};

	must(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info), "VFIO_DEVICE_GET_REGION_INFO");
	return info.offset;
}

/* Vectors 0 to VECTORS - 1 of MSI-X lead to eventfds. */
static void set_up(int device, int *eventfds)
{
	struct vfio_irq_set *irqs = calloc(1, sizeof *irqs + VECTORS * sizeof(int));

	irqs->argsz = sizeof *irqs + VECTORS * sizeof(int);
	irqs->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	irqs->index = VFIO_PCI_MSIX_IRQ_INDEX;
	irqs->count = VECTORS;
	for (int i = 0; i < VECTORS; i++)
		((int *)irqs->data)[i] = eventfds[i];
	must(ioctl(device, VFIO_DEVICE_SET_IRQS, irqs), "VFIO_DEVICE_SET_IRQS");
	free(irqs);
}

int main(void)
{
	int context = open("/dev/ioasid", O_RDWR | O_CLOEXEC);
	int device = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
	must(context | device, "open");
	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ioasid_alloc alloc = {.size = sizeof alloc, .kind = IOASID_KIND_MAPPED};
	must(ioctl(context, IOASID_ALLOC, &alloc), "IOASID_ALLOC");
	struct ioasid_map map = {.size = sizeof map, .flags = IOASID_MAP_READ | IOASID_MAP_WRITE,
				 .pasid = alloc.pasid, .user_va = (uintptr_t)memory, .length = 4096};
	must(ioctl(context, IOASID_MAP, &map), "IOASID_MAP");
	struct ioasid_authorize authorize = {.size = sizeof authorize, .ioasid_fd = context,
					     .pasid = alloc.pasid};
	must(ioctl(device, IOASID_AUTHORIZE, &authorize), "IOASID_AUTHORIZE");
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	uint64_t registers = region(device, VFIO_PCI_BAR0_REGION_INDEX);
	uint64_t portal = region(device, VFIO_PCI_BAR2_REGION_INDEX);
	uint64_t config = region(device, VFIO_PCI_CONFIG_REGION_INDEX);
	must(pwrite(device, &command, 2, config + PCI_COMMAND), "command register");

	int eventfds[VECTORS];
	struct pollfd polls[VECTORS];
	for (int i = 0; i < VECTORS; i++) {
		uint32_t permission = alloc.pasid << 12 | PASID_ENABLE;
		eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		polls[i] = (struct pollfd){.fd = eventfds[i], .events = POLLIN};
		must(pwrite(device, &permission, 4, registers + MSIXPERM + 8 * i), "MSIXPERM");
	}
	set_up(device, eventfds);

	/* Each work queue has four pages of portals; the first of the first is WQ 0's. */
	for (int vector = 1; vector < VECTORS; vector++) {
		struct dsa_hw_desc fill = {.pasid = alloc.pasid, .opcode = DSA_OPCODE_MEMFILL,
					   .flags = IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR |
						    IDXD_OP_FLAG_RCI,
					   .completion_addr = map.iova + 32 * vector, .pattern = vector,
					   .dst_addr = map.iova + 1024, .xfer_size = 64,
					   .int_handle = vector};
		must(pwrite(device, &fill, sizeof fill, portal), "portal");
		uint64_t count = 0;
		must(poll(polls, VECTORS, -1), "poll");
		must(read(eventfds[vector], &count, sizeof count), "eventfd");
		printf("vector %d: %llu interrupt, status %d\n", vector, (unsigned long long)count,
		       memory[32 * vector]);
	}
	return 0;
}
