/*
 * Lines about a VFIO PCI device file that take more than one access: where a capability is (it lies elsewhere
 * in another machine), and waiting until a device has done its work.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "executor.h"

#define CONFIG ((uint64_t)7 << 40)
#define CAPABILITIES 0x34
#define EXTENDED_CAPABILITIES 0x100
#define MOST_CAPABILITIES 48
#define WAITS 3000
#define WAIT_MICROSECONDS 1000

static uint32_t config(int fd, unsigned int at)
{
	uint32_t value = 0;

	return pread(fd, &value, sizeof(value), CONFIG + at) == sizeof(value) ? value : 0;
}

/* Where capability `id` is, or 0. */
static unsigned int find_capability(int fd, unsigned int id)
{
	unsigned int at = config(fd, CAPABILITIES) & 0xfc;

	for (int n = 0; at && n < MOST_CAPABILITIES; n++) {
		uint32_t head = config(fd, at);

		if ((head & 0xff) == id)
			return at;
		at = head >> 8 & 0xfc;
	}
	return 0;
}

static unsigned int find_extended(int fd, unsigned int id)
{
	unsigned int at = EXTENDED_CAPABILITIES;

	for (int n = 0; at && n < MOST_CAPABILITIES; n++) {
		uint32_t head = config(fd, at);

		if ((head & 0xffff) == id)
			return at;
		at = head >> 20 & 0xffc;
	}
	return 0;
}

/* The value is the offset in the file. One that is not there is ENOENT, and the value 0 of it. */
static void do_capability(const char *text, unsigned int at)
{
	errno = ENOENT;
	print_result(at ? 0 : -1);
	if (at)
		define(text, VALUE, CONFIG + at, 0);
}

/* Reads a register of 4 bytes until none of `bits` is set in it. */
static void do_await(int fd, uint64_t offset, uint32_t bits)
{
	uint32_t value;

	for (int n = 0; n < WAITS; n++) {
		value = 0;
		if (pread(fd, &value, sizeof(value), offset) < 0) {
			print_result(-1);
			return;
		}
		if (!(value & bits)) {
			fputc('0', out);
			return;
		}
		usleep(WAIT_MICROSECONDS);
	}
	errno = ETIMEDOUT;
	print_result(-1);
}

bool device_line(char **word, int count)
{
	if (!strcmp(word[0], "cap") && count >= 4)
		do_capability(word[1], find_capability(descriptor(word[2]), number(word[3])));
	else if (!strcmp(word[0], "xcap") && count >= 4)
		do_capability(word[1], find_extended(descriptor(word[2]), number(word[3])));
	else if (!strcmp(word[0], "await") && count >= 4)
		do_await(descriptor(word[1]), evaluate(word[2]), number(word[3]));
	else
		return false;
	return true;
}
