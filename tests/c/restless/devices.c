/* Registers, interrupts and DMA of VFIO devices. */
#define _GNU_SOURCE
#include "restless.h"

#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ioasid.h"

enum {
	/* edu's registers, its buffer, and what starts a transfer from there. */
	RAISE = 0x60, SOURCE = 0x80, DESTINATION = 0x88, COUNT = 0x90, COMMAND = 0x98,
	BUFFER = 0x40000, RUN_TO_MEMORY = 3,
	/* DSA: fill memory, and write a completion record. */
	FILL_WITH_RECORD = 0x04 << 24 | 0x0c,
	PORTAL_BAR = 2,
	/* PCI's command register, and what lets a device do DMA. */
	CONFIG = 7, PCI_COMMAND = 4, BUS_MASTER = 6,
};

void interrupts(void)
{
	int device_fd = device(INTERRUPTS), event = eventfd(0, EFD_CLOEXEC);
	/* struct vfio_irq_set: argsz, flags, index, start, count, and one eventfd as its data. */
	int32_t irqs[6] = { sizeof irqs, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			    VFIO_PCI_MSI_IRQ_INDEX, 0, 1 };
	int32_t intx[6] = { sizeof intx, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			    VFIO_PCI_INTX_IRQ_INDEX, 0, 1, event };
	int32_t unmask[6] = { sizeof unmask, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK,
			      VFIO_PCI_INTX_IRQ_INDEX, 0, 1, event };
	int32_t off[5] = { sizeof off, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER };
	struct vfio_device_ioeventfd raise = { .argsz = sizeof raise, .offset = RAISE, .data = 1, .fd = event,
					       .flags = VFIO_DEVICE_IOEVENTFD_32 };
	const uint64_t one = 1;

	for (;;) {
		irqs[5] = event;
		ioctl(device_fd, VFIO_DEVICE_SET_IRQS, irqs);
		irqs[5] = device_fd;
		ioctl(device_fd, VFIO_DEVICE_SET_IRQS, irqs);
		irqs[5] = -1;
		ioctl(device_fd, VFIO_DEVICE_SET_IRQS, irqs);
		off[2] = VFIO_PCI_MSI_IRQ_INDEX;
		ioctl(device_fd, VFIO_DEVICE_SET_IRQS, off);
		/* What the line signals unmasks it and raises it again, until INTx is off. */
		ioctl(device_fd, VFIO_DEVICE_SET_IRQS, intx);
		ioctl(device_fd, VFIO_DEVICE_SET_IRQS, unmask);
		raise.fd = event;
		ioctl(device_fd, VFIO_DEVICE_IOEVENTFD, &raise);
		write(event, &one, sizeof one);
		raise.fd = -1;
		ioctl(device_fd, VFIO_DEVICE_IOEVENTFD, &raise);
		off[2] = VFIO_PCI_INTX_IRQ_INDEX;
		ioctl(device_fd, VFIO_DEVICE_SET_IRQS, off);
	}
}

void registers(void)
{
	int device_fd = device(REGISTERS);
	uint32_t word = 0;

	for (;;) {
		pread(device_fd, &word, 4, 0);
		pwrite(device_fd, &word, 4, 8);
	}
}

static void set(int device_fd, off_t offset, uint64_t value)
{
	pwrite(device_fd, &value, 8, offset);
}

static int master(enum device number)
{
	const uint16_t word = BUS_MASTER;
	int device_fd = device(number);

	pwrite(device_fd, &word, sizeof word, ((off_t)CONFIG << 40) + PCI_COMMAND);
	return device_fd;
}

/* Memory of this process is written by a device, while the mapping goes. */
void dma(void)
{
	int ioasid = at("ioasid"), device_fd = master(DMA);
	uint32_t pasid = pasid_of(ioasid);
	void *memory = memory_of_own();

	authorize(device_fd, ioasid, pasid);
	for (;;) {
		struct ioasid_unmap unmap = { .size = sizeof unmap, .flags = IOASID_UNMAP_ALL,
					      .pasid = pasid };

		set(device_fd, SOURCE, BUFFER);
		set(device_fd, DESTINATION, map(ioasid, pasid, memory));
		set(device_fd, COUNT, PAGE);
		set(device_fd, COMMAND, RUN_TO_MEMORY);
		ioctl(ioasid, IOASID_UNMAP, &unmap);
	}
}

/* Descriptors to a work queue, with large files to fill. */
void portal(void)
{
	const uint64_t length = 16 << 20;
	int ioasid = at("ioasid"), device_fd = master(PORTAL), file = memory_file(length);
	uint32_t pasid = pasid_of(ioasid);
	struct ioasid_map_file map = { .size = sizeof map, .pasid = pasid,
				       .flags = IOASID_MAP_READ | IOASID_MAP_WRITE,
				       .fd = file, .length = length };
	uint64_t descriptor[8] = { (uint64_t)FILL_WITH_RECORD << 32 | pasid };

	ioctl(ioasid, IOASID_MAP_FILE, &map);
	authorize(device_fd, ioasid, pasid);
	descriptor[1] = map.iova;
	descriptor[3] = map.iova + PAGE;
	descriptor[4] = length - PAGE;
	for (;;)
		pwrite(device_fd, descriptor, sizeof descriptor, (off_t)PORTAL_BAR << 40);
}
