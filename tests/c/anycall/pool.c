#define _GNU_SOURCE
#include "anycall.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

unsigned char *own_memory;

static const char *root;
static int fds[KINDS][PER_KIND];
static int focused[KINDS];
static struct known {
	int fd;
	uint32_t number;
} known[NUMBERS][KNOWN];

enum { MOST_FDS = 1024 };

/* Of a device: what it is bound to. */
static int context_of[MOST_FDS];

void start_pool(const char *folder)
{
	root = folder;
	for (int kind = 0; kind < KINDS; kind++) {
		focused[kind] = -1;
		for (int i = 0; i < PER_KIND; i++)
			fds[kind][i] = -1;
	}
	own_memory = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static int at(const char *name)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", root, name);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int numbered(const char *format, int number)
{
	char name[64];

	snprintf(name, sizeof name, format, number);
	return at(name);
}

static int memory_file(void)
{
	int fd = memfd_create("anycall", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, one_in(8) ? 4096 : SPAN) != 0)
		perror("ftruncate");
	return fd;
}

int open_one(enum kind kind)
{
	switch (kind) {
	case IOASID:
		return at("ioasid");
	case IOMMU:
		return at("iommu");
	case CONTAINER:
		return at("vfio/vfio");
	case GROUP:
		return numbered("vfio/%d", one_in(8) ? below(12) : 9 + below(2));
	case DEVICE:
		return numbered("vfio/devices/vfio%d", one_in(3) ? 8 + below(3) : below(8));
	case VDPA:
		return numbered("vhost-vdpa-%d", below(6));
	case CONTROL:
		return ask_server();
	case MEMORY:
		return memory_file();
	case EVENT:
		return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	default:
		return -1;
	}
}

void keep(enum kind kind, int fd)
{
	int place = below(PER_KIND);

	if (fd < 0)
		return;
	if (fds[kind][place] >= 0)
		close(fds[kind][place]);
	fds[kind][place] = fd;
}

int some_fd(enum kind kind)
{
	int fd = -1;

	if (one_in(30))
		kind = below(KINDS);
	if (one_in(100))
		return (int)anything();
	if (focused[kind] >= 0)
		return focused[kind];
	for (int tries = 0; fd < 0 && tries < 4 * PER_KIND; tries++)
		fd = fds[kind][below(PER_KIND)];
	return fd;
}

void focus(enum kind kind, int fd)
{
	focused[kind] = fd;
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void close_some(void)
{
	drop(&fds[below(KINDS)][below(PER_KIND)]);
}

void close_all(enum kind kind)
{
	for (int i = 0; i < PER_KIND; i++)
		drop(&fds[kind][i]);
}

void forget(int fd)
{
	for (int kind = 0; kind < NUMBERS; kind++)
		for (int i = 0; i < KNOWN; i++)
			if (known[kind][i].fd == fd)
				known[kind][i].fd = -1;
	if (fd >= 0 && fd < MOST_FDS)
		context_of[fd] = 0;
}

void remember(enum number kind, int fd, uint32_t number)
{
	known[kind][below(KNOWN)] = (struct known){ fd, number };
}

uint32_t some_number(enum number kind, int fd)
{
	struct known *chosen = &known[kind][below(KNOWN)];

	if (fd >= 0 && fd < MOST_FDS && context_of[fd] != 0)
		fd = context_of[fd];
	for (int tries = 0; chosen->fd != fd && tries < 2 * KNOWN; tries++)
		chosen = &known[kind][below(KNOWN)];
	return chosen->number;
}

void bound_to(int device, int iommufd)
{
	if (device >= 0 && device < MOST_FDS)
		context_of[device] = iommufd;
}
