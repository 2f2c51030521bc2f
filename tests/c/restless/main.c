/*
 * Usage: restless FOLDER [orphan] KIND... FOLDER is where the files are, /dev or a folder. Each kind gets a
 * process of its own. With "orphan" the first process ends soon, and leaves the others behind. The server is
 * the parent, as for the command of a run, or IOASID_SERVER says its process id.
 */
#define _GNU_SOURCE
#include "restless.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ioasid.h"

const char *root;

int at(const char *name)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", root, name);
	return open(path, O_RDWR | O_CLOEXEC);
}

int device(enum device number)
{
	char name[64];

	snprintf(name, sizeof name, "vfio/devices/vfio%d", number);
	return at(name);
}

uint32_t pasid_of(int ioasid)
{
	struct ioasid_alloc alloc = { .size = sizeof alloc, .kind = IOASID_KIND_MAPPED };

	ioctl(ioasid, IOASID_ALLOC, &alloc);
	return alloc.pasid;
}

uint64_t map(int ioasid, uint32_t pasid, void *memory)
{
	struct ioasid_map map = { .size = sizeof map, .pasid = pasid,
				  .flags = IOASID_MAP_READ | IOASID_MAP_WRITE,
				  .user_va = (uintptr_t)memory, .length = PAGES * PAGE };

	return ioctl(ioasid, IOASID_MAP, &map) == 0 ? map.iova : 0;
}

void authorize(int device_fd, int ioasid, uint32_t pasid)
{
	struct ioasid_authorize authorize = { .size = sizeof authorize, .ioasid_fd = ioasid, .pasid = pasid };

	ioctl(device_fd, IOASID_AUTHORIZE, &authorize);
}

void *memory_of_own(void)
{
	return mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

int memory_file(uint64_t length)
{
	int file = memfd_create("restless", MFD_CLOEXEC);

	if (file >= 0 && ftruncate(file, length) != 0)
		perror("ftruncate");
	return file;
}

static const struct {
	const char *name;
	void (*run)(void);
} kinds[] = {
	{ "queues", queues },         { "groups", groups },       { "reopened", reopened },
	{ "swapped", swapped },       { "opens", opens },         { "names", names },
	{ "asks", asks },             { "maps", maps },           { "pages", pages },
	{ "slices", slices },         { "iommufd", iommufd },     { "interrupts", interrupts },
	{ "registers", registers },   { "dma", dma },             { "portal", portal },
	{ "vdpa", vdpa },             { "mapped", mapped },
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
	char parent[16];

	snprintf(parent, sizeof parent, "%d", getppid());
	setenv("IOASID_SERVER", parent, 0);
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
