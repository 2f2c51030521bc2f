/*
 * Loads and stores of a mapped BAR: the same instructions on plain memory have the same results, and the
 * device sees each of them once, with its width.
 *
 * usage: mapped TASK
 */
#include "mapped.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

int device;
volatile uint8_t *bar;

static uint64_t region(uint32_t index, uint32_t *flags)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	if (flags != NULL)
		*flags = info.flags;
	return info.offset;
}

void open_device(void)
{
	uint16_t command = 6;
	uint32_t flags;
	void *at;

	device = open("/dev/vfio/devices/vfio0", O_RDWR);
	CHECK(device >= 0);
	CHECK(pwrite(device, &command, 2, region(7, NULL) + 4) == 2);
	at = mmap(NULL, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, device, region(0, &flags));
	CHECK(at != MAP_FAILED);
	CHECK(flags & VFIO_REGION_INFO_FLAG_MMAP);
	bar = at;
}

void peek(size_t offset, void *target, size_t length)
{
	CHECK(pread(device, target, length, region(0, NULL) + offset) == (ssize_t)length);
}

void poke(size_t offset, const void *source, size_t length)
{
	CHECK(pwrite(device, source, length, region(0, NULL) + offset) == (ssize_t)length);
}

void forget(void)
{
	uint32_t nothing = 0;

	CHECK(pwrite(device, &nothing, 4, region(2, NULL)) == 4);
}

size_t accesses(struct access *list, size_t most)
{
	uint32_t count;

	CHECK(pread(device, &count, 4, region(2, NULL)) == 4);
	for (size_t i = 0; i < count && i < most; i++)
		CHECK(pread(device, &list[i], 8, region(2, NULL) + 8 + 8 * i) == 8);
	return count;
}

int main(int argc, char **argv)
{
	const struct task *all[] = { form_tasks,  life_tasks, signal_tasks,
				     state_tasks, edge_tasks, change_tasks };
	const char *name = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(name, "escapes") == 0)
		start_stranger();
	open_device();
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		for (const struct task *task = all[i]; task->name != NULL; task++)
			if (strcmp(task->name, name) == 0)
				return run_task(task, name);
	printf("no such task\n");
	return 2;
}
