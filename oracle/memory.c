/* Lines about memory: buffers at known addresses, memory files, mappings. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "executor.h"

#define BUFFERS_ADDRESS 0x30000000ul
/* So much is not mapped behind a buffer: who goes past its end does not get into the next. */
#define GAP_BYTES (1ul << 20)

static uintptr_t next_address = BUFFERS_ADDRESS;

void free_addresses(void)
{
	next_address = BUFFERS_ADDRESS;
}

void new_descriptor(const char *text, int fd)
{
	print_result(fd < 0 ? -1 : 0);
	if (fd >= 0)
		define(text, DESCRIPTOR, fd, 0);
}

static int protection(const char *text)
{
	return (strchr(text, 'r') ? PROT_READ : 0) | (strchr(text, 'w') ? PROT_WRITE : 0);
}

/*
 * Memory whose address is an odd multiple of `align`, with nothing mapped on either side. Its
 * pages are there from the start: which page an address means does not change by a first write.
 */
static void do_buffer(const char *text, size_t length, size_t align, int prot)
{
	uintptr_t at = (next_address + PAGE + 2 * align - 1) / (2 * align) * (2 * align) + align;
	void *got = mmap((void *)at, length, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);

	print_result(got == MAP_FAILED ? -1 : mprotect(got, length, prot));
	if (got == MAP_FAILED)
		return;
	next_address = at + (length + PAGE - 1) / PAGE * PAGE + GAP_BYTES;
	define(text, BUFFER, at, length);
}

static void do_memfd(const char *text, size_t length)
{
	int fd = memfd_create("oracle", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, length) < 0) {
		close(fd);
		fd = -1;
	}
	new_descriptor(text, fd);
}

/* `how` is of r, w (protection) and p (private). */
static void do_mmap(const char *text, int fd, uint64_t offset, size_t length, const char *how)
{
	int flags = strchr(how, 'p') ? MAP_PRIVATE : MAP_SHARED;
	void *got = mmap(NULL, length, protection(how), flags, fd, offset);

	print_result(got == MAP_FAILED ? -1 : 0);
	if (got != MAP_FAILED)
		define(text, BUFFER, (uintptr_t)got, length);
}

static void do_peek(const struct name *buffer, size_t offset, size_t length)
{
	if (offset <= buffer->length && length <= buffer->length - offset)
		print_hex((uint8_t *)buffer->value + offset, length);
}

/* Waits until two bytes at `offset` are `value`: until a device has used so many buffers of a ring, say. */
static void do_until(const struct name *buffer, size_t offset, uint16_t value, uint64_t milliseconds)
{
	const volatile uint16_t *at = (const volatile uint16_t *)((uint8_t *)buffer->value + offset);

	for (uint64_t n = 0; n <= milliseconds; n++) {
		if (*at == value) {
			fputc('0', out);
			return;
		}
		usleep(1000);
	}
	errno = ETIMEDOUT;
	print_result(-1);
}

bool memory_line(char **word, int count)
{
	struct name *buffer = count > 1 ? find_kind(word[1], BUFFER) : NULL;

#define IS(verb, least) (!strcmp(word[0], verb) && count >= (least))
	if (IS("memfd", 3)) {
		do_memfd(word[1], number(word[2]));
	} else if (IS("buf", 4)) {
		do_buffer(word[1], number(word[2]), number(word[3]), protection(count > 4 ? word[4] : "rw"));
	} else if (IS("fill", 4) && buffer && number(word[2]) <= buffer->length) {
		from_hex(word[3], (uint8_t *)buffer->value + number(word[2]),
			 buffer->length - number(word[2]));
		fputc('0', out);
	} else if (IS("peek", 4) && buffer) {
		do_peek(buffer, number(word[2]), number(word[3]));
	} else if (IS("until", 5) && buffer && number(word[2]) + 2 <= buffer->length) {
		do_until(buffer, number(word[2]), number(word[3]), number(word[4]));
	} else if (IS("protect", 5) && buffer) {
		print_result(mprotect((void *)(buffer->value + number(word[2])), number(word[3]),
				      protection(word[4])));
	} else if (IS("unmap", 4) && buffer) {
		print_result(munmap((void *)(buffer->value + number(word[2])), number(word[3])));
	} else if (IS("mmap", 5)) {
		do_mmap(word[1], descriptor(word[2]), number(word[3]), number(word[4]),
			count > 5 ? word[5] : "rw");
	} else {
		return false;
	}
#undef IS
	return true;
}
