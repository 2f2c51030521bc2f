/* Files that are opened and closed, descriptors that come from the server, and names. */
#define _GNU_SOURCE
#include "restless.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ioasid.h"

#define FAULT_QUEUE_ALLOC 0x3b8e

/* A new descriptor comes from the server, and goes. */
void queues(void)
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

/* So does the device of a group, whose container has memory mapped. */
void groups(void)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof map, .iova = PAGE, .size = PAGES * PAGE,
						.flags = VFIO_DMA_MAP_FLAG_READ,
						.vaddr = (uintptr_t)memory_of_own() };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof unmap, .iova = PAGE,
						    .size = PAGES * PAGE };
	char path[64];

	snprintf(path, sizeof path, "vfio/%d", GROUPS);
	for (;;) {
		int container = at("vfio/vfio"), group = at(path), fd;

		ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
		ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
		ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
		fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:6a:01.0");
		ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap);
		close(fd);
		close(group);
		close(container);
	}
}

/* One inode, several open files: only a copy of the descriptor tells which is meant. */
void reopened(void)
{
	int first = at("ioasid"), device_fd = device(REOPENED);
	uint32_t pasid = pasid_of(first);
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", first);
	for (;;) {
		int again = open(path, O_RDWR | O_CLOEXEC);
		struct ioasid_revoke revoke = { .size = sizeof revoke, .pasid = pasid };

		authorize(device_fd, first, pasid);
		authorize(device_fd, device_fd, pasid);
		ioctl(device_fd, IOASID_REVOKE, &revoke);
		close(again);
	}
}

static int target;

static void *swap(void *fds)
{
	for (int i = 0;; i = !i)
		dup2(((int *)fds)[i], target);
	return NULL;
}

/* A context or a device: whichever another thread has just put there. */
void swapped(void)
{
	int fds[2] = { at("ioasid"), device(SWAPPED) };
	uint32_t pasid = pasid_of(fds[0]);
	pthread_t thread;

	target = dup(fds[0]);
	pthread_create(&thread, NULL, swap, fds);
	for (;;) {
		struct ioasid_revoke revoke = { .size = sizeof revoke, .pasid = pasid };

		authorize(fds[1], target, pasid);
		ioctl(fds[1], IOASID_REVOKE, &revoke);
	}
}

void opens(void)
{
	for (;;) {
		int ioasid = at("ioasid"), device_fd = device(OPENS);

		authorize(device_fd, ioasid, pasid_of(ioasid));
		close(ioasid);
		close(device_fd);
	}
}

void names(void)
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

/* The control socket of the server. */
void asks(void)
{
	const char *server = getenv("IOASID_SERVER");
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	char answer[4096];

	snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "ioasid/%u/%s", geteuid(), server);
	for (int patient = 0;; patient = !patient) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (void *)&name, sizeof name) == 0)
			while (read(fd, answer, sizeof answer) > 0 && patient)
				;
		close(fd);
	}
}
