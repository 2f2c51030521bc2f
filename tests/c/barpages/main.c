/*
 * Pages of a BAR that a program has itself: memory, and doorbells while the device works.
 *
 * usage: barpages TASK
 */
#include "barpages.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

int device;
volatile uint8_t *bar;

static sigjmp_buf back;

void *map_bar(int protection, off_t offset, size_t length)
{
	return mmap(NULL, length, protection, MAP_SHARED, device, offset);
}

void decode(int on)
{
	uint16_t command = on ? 6 : 0;

	CHECK(pwrite(device, &command, 2, (7ll << 40) + 4) == 2);
}

void open_device(void)
{
	device = open("/dev/vfio/devices/vfio0", O_RDWR);
	CHECK(device >= 0);
	decode(1);
	bar = map_bar(PROT_READ | PROT_WRITE, 0, BAR_BYTES);
	CHECK(bar != MAP_FAILED);
}

static void jump(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

int faults(volatile void *at)
{
	struct sigaction action = { .sa_handler = jump };

	CHECK(sigaction(SIGBUS, &action, NULL) == 0);
	if (sigsetjmp(back, 1) != 0)
		return 1;
	(void)*(volatile uint8_t *)at;
	return 0;
}

long switches(void)
{
	struct rusage usage;

	CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
	return usage.ru_nvcsw;
}

int main(int argc, char **argv)
{
	const struct task *all[] = { memory_tasks, doorbell_tasks };
	const char *name = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	open_device();
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		for (const struct task *task = all[i]; task->name != NULL; task++)
			if (strcmp(task->name, name) == 0)
				return run_task(task, name);
	printf("no such task\n");
	return 2;
}
