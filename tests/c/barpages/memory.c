/* Memory of a BAR: the same bytes for the program, its file and the device, without a stop. */
#define _GNU_SOURCE
#include "barpages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 100000, BOTH = PROT_READ | PROT_WRITE };

static uint32_t through_file(off_t offset)
{
	uint32_t word;

	CHECK(pread(device, &word, 4, offset) == 4);
	return word;
}

/* Memory and registers in one BAR; of 100,000 accesses to memory none stops the program. */
static void beside(void)
{
	long before;
	uint32_t sum = 0;

	*at(MEMORY) = 5;
	*at(ADD) = 2;
	CHECK(*at(MEMORY) == 7 && *at(FIRST_WORD) == 7);
	before = switches();
	for (int i = 0; i < MANY; i++) {
		*at(MEMORY + PAGE + 4 * (i % 16)) = i;
		sum += *at(MEMORY + PAGE + 4 * ((i + 3) % 16));
	}
	CHECK(sum != 0);
	CHECK(switches() - before < MANY / 100);
	before = switches();
	for (int i = 0; i < 100; i++)
		CHECK(*at(FIRST_WORD) == 7);
	CHECK(switches() - before >= 100);
}

/* The file reaches the same bytes, and so does another mapping, with its own rights. */
static void same(void)
{
	volatile uint32_t *other = map_bar(PROT_READ, MEMORY + PAGE, PAGE);
	uint32_t words[3] = { 11, 12, 13 };

	CHECK(other != MAP_FAILED);
	*at(MEMORY + PAGE) = 0x1234;
	CHECK(through_file(MEMORY + PAGE) == 0x1234 && *other == 0x1234);
	CHECK(pwrite(device, words, 12, MEMORY + PAGE) == 12);
	CHECK(*at(MEMORY + PAGE + 8) == 13 && other[1] == 12);
	CHECK(mprotect((void *)other, PAGE, BOTH) == 0);
	other[1] = 14;
	CHECK(through_file(MEMORY + PAGE + 4) == 14);
	/* No descriptor was left behind. */
	CHECK(open("/dev/null", O_RDONLY) == device + 1);
}

/* Who has opened the device for reading cannot write, whatever he makes of his mapping. */
static void read_only(void)
{
	volatile uint32_t *other;

	CHECK(munmap((void *)bar, BAR_BYTES) == 0 && close(device) == 0);
	while ((device = open("/dev/vfio/devices/vfio0", O_RDONLY)) == -1)
		CHECK(errno == EBUSY);
	CHECK(map_bar(BOTH, MEMORY, PAGE) == MAP_FAILED && errno == EACCES);
	other = map_bar(PROT_READ, MEMORY, PAGE);
	CHECK(other != MAP_FAILED && *other == 0);
	CHECK(mprotect((void *)other, PAGE, BOTH) == -1 && errno == EACCES);
}

/* Without memory space there is nothing, in any process; then everything is as it was. */
static void decode_off(void)
{
	int status;
	pid_t child;

	*at(MEMORY + 8) = 0x5678;
	decode(0);
	CHECK(faults(at(MEMORY + 8)) && faults(at(FIRST_WORD)) && faults(at(DOORBELLS)));
	child = fork();
	if (child == 0)
		_exit(faults(at(MEMORY + 8)) ? 7 : 8);
	CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
	decode(1);
	CHECK(*at(MEMORY + 8) == 0x5678);
	*at(MEMORY + 12) = 1;
	CHECK(through_file(MEMORY + 12) == 1);
}

static void low_power(uint32_t feature)
{
	uint32_t request[2] = { 8, feature | VFIO_DEVICE_FEATURE_SET };

	CHECK(ioctl(device, VFIO_DEVICE_FEATURE, request) == 0);
}

/* In low power there is nothing, whatever calls are answered meanwhile; then everything is as it was. */
static void asleep(void)
{
	*at(MEMORY + 8) = 0x5678;
	low_power(3);
	for (uint32_t value = 1; value < 5; value++) {
		CHECK(pwrite(device, &value, 4, DOORBELLS) == 4);
		CHECK(faults(at(DOORBELLS)) && faults(at(MEMORY + 8)) && faults(at(FIRST_WORD)));
		CHECK(through_file(MEMORY + 8) == 0x5678);
	}
	low_power(5);
	CHECK(*at(MEMORY + 8) == 0x5678);
	*at(MEMORY + 12) = 1;
	CHECK(through_file(MEMORY + 12) == 1);
}

/* Mapped while there is no memory space, it is there when there is. */
static void decode_later(void)
{
	volatile uint32_t *other;

	*at(MEMORY) = 9;
	decode(0);
	other = map_bar(BOTH, MEMORY, PAGE);
	CHECK(other != MAP_FAILED && faults(other));
	decode(1);
	CHECK(*other == 9);
}

/* Moved, cut, covered, inherited and left behind by exec. */
static void moved(void)
{
	volatile uint8_t *room = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile uint32_t *third = at(MEMORY + 2 * PAGE);
	int status;
	pid_t child;

	third[0] = 21;
	CHECK(munmap((void *)at(MEMORY), PAGE) == 0);
	CHECK(mremap((void *)third, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room) == room);
	CHECK(*(volatile uint32_t *)room == 21);
	CHECK(mmap((void *)at(MEMORY + PAGE), PAGE, BOTH, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	      at(MEMORY + PAGE));
	*at(MEMORY + PAGE) = 77;
	CHECK(through_file(MEMORY + PAGE) == 0);
	child = fork();
	if (child == 0) {
		*(volatile uint32_t *)room = 22;
		execl("/bin/true", "true", (char *)NULL);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(*(volatile uint32_t *)room == 22 && through_file(MEMORY + 2 * PAGE) == 22);
	CHECK(*at(FIRST_WORD) == 0);
	decode(0);
	CHECK(faults(room));
}

/* A reset clears what the device clears; the mapping stays. */
static void reset(void)
{
	*at(MEMORY) = 1;
	CHECK(ioctl(device, VFIO_DEVICE_RESET) == 0);
	CHECK(*at(MEMORY) == 0);
	*at(MEMORY) = 2;
	CHECK(*at(FIRST_WORD) == 2);
}

/* When the device is closed nothing is left; who opens it next has other memory. */
static void closed(void)
{
	volatile uint32_t *memory = map_bar(BOTH, MEMORY, PAGE);

	CHECK(memory != MAP_FAILED);
	*memory = 0x9999;
	CHECK(munmap((void *)bar, BAR_BYTES) == 0);
	CHECK(close(device) == 0);
	while (!faults(memory))
		usleep(1000);
	open_device();
	CHECK(*at(MEMORY) == 0);
	*at(MEMORY) = 1;
	CHECK(faults(memory));
}

static _Atomic int stolen = -1;

/* Takes the descriptor that is there while another thread maps. */
static void *steals(void *argument)
{
	while (stolen == -1)
		stolen = dup(device + 1);
	return argument;
}

/* Who cuts the file of the memory has harmed his own device, and nobody else. */
static void thief(void)
{
	pthread_t other;

	CHECK(pthread_create(&other, NULL, steals, NULL) == 0);
	while (stolen == -1)
		CHECK(munmap(map_bar(BOTH, MEMORY, PAGE), PAGE) == 0);
	CHECK(pthread_join(other, NULL) == 0);
	*at(MEMORY) = 4;
	CHECK(ftruncate(stolen, 0) == 0);
	*at(ADD) = 3;
	CHECK(*at(FIRST_WORD) == 3);
	CHECK(ftruncate(stolen, 1 << 20) == 0);
	*at(ADD) = 1;
	CHECK(*at(FIRST_WORD) == 4);
	decode(0);
	decode(1);
	CHECK(*at(FIRST_WORD) == 0 && *at(MEMORY) == 0);
	*at(ADD) = 1;
	CHECK(*at(FIRST_WORD) == 1 && *at(MEMORY) == 1);
}

const struct task memory_tasks[] = {
	{ "beside", beside }, { "same", same },   { "read_only", read_only }, { "decode_off", decode_off },
	{ "decode_later", decode_later }, { "moved", moved }, { "reset", reset }, { "closed", closed },
	{ "thief", thief }, { "asleep", asleep }, { NULL, NULL },
};
