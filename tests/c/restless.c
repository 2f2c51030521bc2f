/*
 * Every kind of call on the device files, again and again, until somebody kills it: the command of the test
 * of kills.
 *
 * The first argument is where the files are, /dev or a folder. Each further one names a kind of call, which
 * gets a process of its own. With "orphan" the first process ends at once and leaves the others behind.
 * Results do not matter, and calls fail while the server dies; that nobody hangs is what the test looks at.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ioasid.h"

#define FAULT_QUEUE_ALLOC 0x3b8e

enum { PAGE = 4096, PAGES = 4, EDU_DMA = 0x80, EDU_BUFFER = 0x40000, EDU_TO_MEMORY = 3 };

static const char *root;

static int at(const char *name)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", root, name);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int device(void)
{
	return at("vfio/devices/vfio0");
}

static uint32_t pasid_of(int ioasid)
{
	struct ioasid_alloc alloc = { .size = sizeof alloc, .kind = IOASID_KIND_MAPPED };

	ioctl(ioasid, IOASID_ALLOC, &alloc);
	return alloc.pasid;
}

static void map(int ioasid, uint32_t pasid, void *memory)
{
	struct ioasid_map map = { .size = sizeof map, .pasid = pasid,
				  .flags = IOASID_MAP_READ | IOASID_MAP_WRITE,
				  .user_va = (uintptr_t)memory, .length = PAGES * PAGE };

	ioctl(ioasid, IOASID_MAP, &map);
}

static void *memory_of_own(void)
{
	return mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* A new descriptor comes from the server, and goes. */
static void queues(void)
{
	int iommu = at("iommu");

	for (;;) {
		uint32_t alloc[4] = { 16, 0, 0, -1 };
		struct pollfd poll_in = { .events = POLLIN };

		if (ioctl(iommu, FAULT_QUEUE_ALLOC, alloc) != 0)
			continue;
		poll_in.fd = alloc[3];
		poll(&poll_in, 1, 1);
		close(alloc[3]);
	}
}

/* So does the device of a group. */
static void groups(void)
{
	for (;;) {
		int container = at("vfio/vfio"), group = at("vfio/0"), fd;

		ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
		ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
		fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:6a:01.0");
		close(fd);
		close(group);
		close(container);
	}
}

/* One inode, several open files: only a copy of the descriptor tells which is meant. */
static void reopened(void)
{
	int first = at("ioasid"), device_fd = device();
	uint32_t pasid = pasid_of(first);
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", first);
	for (;;) {
		int again = open(path, O_RDWR | O_CLOEXEC);
		struct ioasid_authorize authorize = { .size = sizeof authorize, .ioasid_fd = first,
						      .pasid = pasid };
		struct ioasid_revoke revoke = { .size = sizeof revoke, .pasid = pasid };

		ioctl(device_fd, IOASID_AUTHORIZE, &authorize);
		authorize.ioasid_fd = device_fd;
		ioctl(device_fd, IOASID_AUTHORIZE, &authorize);
		ioctl(device_fd, IOASID_REVOKE, &revoke);
		close(again);
	}
}

static void opens(void)
{
	for (;;) {
		int ioasid = at("ioasid"), device_fd = device();
		struct ioasid_authorize authorize = { .size = sizeof authorize, .ioasid_fd = ioasid,
						      .pasid = pasid_of(ioasid) };

		ioctl(device_fd, IOASID_AUTHORIZE, &authorize);
		close(ioasid);
		close(device_fd);
	}
}

static void maps(void)
{
	int ioasid = at("ioasid"), file = memfd_create("restless", MFD_CLOEXEC);
	uint32_t pasid = pasid_of(ioasid);
	void *memory = memory_of_own();

	if (ftruncate(file, PAGES * PAGE) != 0)
		return;
	for (;;) {
		struct ioasid_map_file map_file = { .size = sizeof map_file, .pasid = pasid,
						    .flags = IOASID_MAP_READ,
						    .fd = file, .length = PAGES * PAGE };
		struct ioasid_unmap unmap = { .size = sizeof unmap, .flags = IOASID_UNMAP_ALL,
					      .pasid = pasid };

		map(ioasid, pasid, memory);
		ioctl(ioasid, IOASID_MAP_FILE, &map_file);
		map_file.fd = ioasid;
		ioctl(ioasid, IOASID_MAP_FILE, &map_file);
		ioctl(ioasid, IOASID_UNMAP, &unmap);
	}
}

/* Structs, and the target of DMA, lie on pages of a device file: the server touches a file of its own. */
static void pages(void)
{
	int device_fd = device();
	char *memory = memory_of_own();
	struct vfio_device_info *info = (void *)memory;

	for (;;) {
		pwrite(device_fd, memory, 4, 0);
		mmap(memory, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, device_fd, 0);
		ioctl(device_fd, VFIO_DEVICE_GET_INFO, info);
		mmap(memory, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	}
}

static void interrupts(void)
{
	int device_fd = device(), event = eventfd(0, EFD_CLOEXEC);
	/* struct vfio_irq_set: argsz, flags, index, start, count, and one eventfd as its data. */
	int32_t irqs[6] = { sizeof irqs, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			    VFIO_PCI_MSI_IRQ_INDEX, 0, 1 };

	for (;;) {
		irqs[5] = event;
		ioctl(device_fd, VFIO_DEVICE_SET_IRQS, irqs);
		irqs[5] = device_fd;
		ioctl(device_fd, VFIO_DEVICE_SET_IRQS, irqs);
		irqs[5] = -1;
		ioctl(device_fd, VFIO_DEVICE_SET_IRQS, irqs);
	}
}

static void registers(void)
{
	int device_fd = device();
	uint32_t word = 0;

	for (;;) {
		pread(device_fd, &word, 4, 0);
		pwrite(device_fd, &word, 4, 8);
	}
}

static void names(void)
{
	for (;;) {
		DIR *folder = opendir(root);
		struct stat status;
		char path[4096];

		for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
			snprintf(path, sizeof path, "%s/%.255s", root, entry->d_name);
			stat(path, &status);
		}
		if (folder != NULL)
			closedir(folder);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} kinds[] = {
	{ "queues", queues }, { "groups", groups },         { "reopened", reopened }, { "opens", opens },
	{ "maps", maps },     { "interrupts", interrupts }, { "registers", registers }, { "names", names },
	{ "pages", pages },
};

static void start(const char *name)
{
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		if (strcmp(name, kinds[i].name) != 0)
			continue;
		if (fork() == 0) {
			kinds[i].run();
			_exit(1);
		}
		return;
	}
	fprintf(stderr, "there is no kind %s\n", name);
	exit(1);
}

int main(int argc, char **argv)
{
	int orphans = argc > 2 && strcmp(argv[2], "orphan") == 0;

	root = argv[1];
	for (int i = orphans ? 3 : 2; i < argc; i++)
		start(argv[i]);
	puts("busy");
	fflush(stdout);
	if (orphans)
		usleep(100000);
	else
		while (wait(NULL) > 0)
			;
	return 0;
}
