/*
 * The executor: reads a script of system calls, one per line, and prints one answer
 * per line. src/oracle/language.ts describes the language; src/oracle/ours.ts is the
 * same executor over our own files, and its answers must be the same.
 *
 * A sequence is everything between two `seq` lines. Its names (descriptors, buffers, values)
 * belong to it alone: at its end every descriptor is closed and all memory is unmapped.
 *
 * Answers name only what changed in the memory that a call was given, in words of
 * four bytes. Addresses are inputs only, so none is ever printed. The last line is `end`, or
 * `tainted` when the kernel warned of itself in the last sequence answered.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define STRUCT_ADDRESS 0x20000000ul
#define STRUCT_BYTES (4 * PAGE)
#define STRUCT_SHOWN 512ul
#define BUFFERS_ADDRESS 0x30000000ul
#define WATCHED_BYTES (1ul << 20)
/* So much is not mapped behind a buffer: who goes past its end does not get into the next. */
#define GAP_BYTES (1ul << 20)
#define NAMES 128
#define WORDS 64

enum kind { DESCRIPTOR, BUFFER, VALUE };

struct name {
	char text[16];
	enum kind kind;
	uint64_t value; /* a descriptor, an address or a number */
	size_t length;
};

static struct name names[NAMES];
static int name_count;
static uintptr_t next_address;
static FILE *out;

static struct name *find(const char *text)
{
	for (int i = 0; i < name_count; i++)
		if (!strcmp(names[i].text, text))
			return &names[i];
	return NULL;
}

static struct name *find_kind(const char *text, enum kind kind)
{
	struct name *name = find(text);

	return name && name->kind == kind ? name : NULL;
}

static void define(const char *text, enum kind kind, uint64_t value, size_t length)
{
	struct name *name = find(text);

	if (!name && name_count == NAMES) {
		fprintf(stderr, "too many names\n");
		exit(1);
	}
	if (!name)
		name = &names[name_count++];
	snprintf(name->text, sizeof(name->text), "%s", text);
	name->kind = kind;
	name->value = value;
	name->length = length;
}

static int descriptor(const char *text)
{
	struct name *name = find_kind(text, DESCRIPTOR);

	return name ? (int)name->value : -1;
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

/**
 * `&buffer+offset`, `$value+offset`, `%descriptor` or a number; an unknown name is 0, an unknown descriptor
 * -1.
 */
static uint64_t evaluate(const char *text)
{
	char base[32];
	const char *plus = strchr(text, '+');
	struct name *name;

	if (*text != '&' && *text != '$' && *text != '%')
		return number(text);
	snprintf(base, sizeof(base), "%.*s", plus ? (int)(plus - text - 1) : (int)strlen(text + 1), text + 1);
	if (*text == '%')
		return (uint64_t)(int64_t)descriptor(base);
	name = find_kind(base, *text == '&' ? BUFFER : VALUE);
	return (name ? name->value : 0) + (plus ? number(plus + 1) : 0);
}

static size_t from_hex(const char *text, uint8_t *bytes, size_t room)
{
	size_t count = 0;
	unsigned int byte;

	while (count < room && text[0] && text[1] && sscanf(text, "%2x", &byte) == 1) {
		bytes[count++] = byte;
		text += 2;
	}
	return count;
}

static void print_hex(const uint8_t *bytes, size_t count)
{
	while (count--)
		fprintf(out, "%02x", *bytes++);
}

/**
 * The runs of words in which `now` is not `before`. `skipped` is the offset of a word that is not compared.
 */
static void print_changes(const char *label, const uint8_t *before, const uint8_t *now, size_t length, size_t skipped)
{
	size_t at = 0;
	size_t start;

#define CHANGED(at) ((at) < length && (at) != skipped && memcmp(before + (at), now + (at), length - (at) < 4 ? length - (at) : 4))
	while (at < length) {
		if (!CHANGED(at)) {
			at += 4;
			continue;
		}
		for (start = at; CHANGED(at); at += 4)
			;
		fprintf(out, " %s+%zu=", label, start);
		print_hex(now + start, (at < length ? at : length) - start);
	}
#undef CHANGED
}

static void print_result(long result)
{
	const char *text = result < 0 ? strerrorname_np(errno) : NULL;

	if (result >= 0)
		fprintf(out, "%ld", result);
	else if (text)
		fputs(text, out);
	else
		fprintf(out, "E%d", errno);
}

static void end_sequence(void)
{
	for (int i = 0; i < name_count; i++) {
		if (names[i].kind == DESCRIPTOR)
			close((int)names[i].value);
		else if (names[i].kind == BUFFER)
			munmap((void *)names[i].value, names[i].length);
	}
	name_count = 0;
	next_address = BUFFERS_ADDRESS;
}

/**
 * Whether the kernel has complained of itself (WARN, BUG) since it booted: its answers are then worth
 * nothing.
 */
static bool tainted(void)
{
	char text[16] = "";
	int fd = open("/proc/sys/kernel/tainted", O_RDONLY);

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return text[0] && text[0] != '0';
}

static void new_descriptor(const char *text, int fd)
{
	print_result(fd < 0 ? -1 : 0);
	if (fd >= 0)
		define(text, DESCRIPTOR, fd, 0);
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

static int protection(const char *text)
{
	return (strchr(text, 'r') ? PROT_READ : 0) | (strchr(text, 'w') ? PROT_WRITE : 0);
}

/* ioctl FD CMD HEX [OFFSET:SIZE=VALUE | >NAME@OFFSET:SIZE | >NAME@OFFSET:fd | <BUFFER | !ADDRESS]... */
static void do_ioctl(char **word, int count)
{
	static uint8_t before[STRUCT_SHOWN];
	static uint8_t *watched_before[WORDS];
	uint8_t *arg = (uint8_t *)STRUCT_ADDRESS;
	uintptr_t address = STRUCT_ADDRESS;
	size_t length, offset, size, skipped = SIZE_MAX;
	struct name *buffer;
	uint64_t value;
	char *at;
	int result, error;

	memset(arg, 0, STRUCT_SHOWN);
	length = from_hex(word[3], arg, STRUCT_SHOWN);
	for (int i = 4; i < count; i++) {
		if (word[i][0] == '!') {
			address = evaluate(word[i] + 1);
		} else if (word[i][0] == '<') {
			buffer = find_kind(word[i] + 1, BUFFER);
			if (!buffer)
				continue;
			size = buffer->length < WATCHED_BYTES ? buffer->length : WATCHED_BYTES;
			watched_before[i] = malloc(size);
			memcpy(watched_before[i], (void *)buffer->value, size);
		} else if (word[i][0] != '>') {
			offset = strtoull(word[i], &at, 0);
			size = strtoull(at + 1, &at, 0);
			value = evaluate(at + 1);
			memcpy(arg + offset, &value, size);
		}
	}
	memcpy(before, arg, length);
	result = ioctl(descriptor(word[1]), (unsigned int)number(word[2]), address);
	error = errno;
	print_result(result);
	for (int i = 4; i < count && result >= 0; i++) {
		if (word[i][0] != '>' || !(at = strchr(word[i], '@')))
			continue;
		*at = 0;
		offset = strtoull(at + 1, &at, 0);
		value = 0;
		if (!strcmp(at, ":fd")) {
			memcpy(&value, arg + offset, 4);
			define(word[i] + 1, DESCRIPTOR, value, 0);
			skipped = offset;
			fprintf(out, " +%zu=fd", offset);
		} else {
			memcpy(&value, arg + offset, number(at + 1));
			define(word[i] + 1, VALUE, value, 0);
		}
	}
	print_changes("", before, arg, length, skipped);
	for (int i = 4; i < count; i++) {
		if (word[i][0] != '<' || !watched_before[i])
			continue;
		buffer = find_kind(word[i] + 1, BUFFER);
		size = buffer->length < WATCHED_BYTES ? buffer->length : WATCHED_BYTES;
		print_changes(buffer->text, watched_before[i], (void *)buffer->value, size, SIZE_MAX);
		free(watched_before[i]);
		watched_before[i] = NULL;
	}
	errno = error;
}

static void do_read(int fd, size_t length, int64_t offset)
{
	static uint8_t bytes[WATCHED_BYTES];
	ssize_t got;

	length = length < sizeof(bytes) ? length : sizeof(bytes);
	got = offset < 0 ? read(fd, bytes, length) : pread(fd, bytes, length, offset);
	print_result(got);
	if (got > 0) {
		fputc(' ', out);
		print_hex(bytes, got);
	}
}

static void do_write(int fd, const char *hex, int64_t offset)
{
	static uint8_t bytes[WATCHED_BYTES];
	size_t length = from_hex(hex, bytes, sizeof(bytes));

	print_result(offset < 0 ? write(fd, bytes, length) : pwrite(fd, bytes, length, offset));
}

static void do_mmap(const char *text, int fd, uint64_t offset, size_t length)
{
	void *got = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	print_result(got == MAP_FAILED ? -1 : 0);
	if (got != MAP_FAILED)
		define(text, BUFFER, (uintptr_t)got, length);
}

static void do_poll(int fd)
{
	struct pollfd request = { .fd = fd, .events = POLLIN | POLLOUT };

	if (poll(&request, 1, 0) < 0)
		print_result(-1);
	else
		fprintf(out, "0x%x", request.revents);
}

/* Writes a line to a file by its path, as `echo TEXT > PATH` does: for sysfs and debugfs. */
static void do_echo(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t put = fd < 0 ? -1 : write(fd, text, strlen(text));

	print_result(put < 0 ? -1 : 0);
	if (fd >= 0)
		close(fd);
}

static void do_close(const char *text)
{
	struct name *name = find_kind(text, DESCRIPTOR);

	if (!name) {
		errno = EBADF;
		print_result(-1);
		return;
	}
	print_result(close((int)name->value));
	*name = names[--name_count];
}

static void run(char **word, int count)
{
	struct name *buffer;

#define IS(verb, least) (!strcmp(word[0], verb) && count >= (least))
	if (IS("open", 3)) {
		new_descriptor(word[1], open(word[2], O_RDWR | O_CLOEXEC));
	} else if (IS("memfd", 3)) {
		do_memfd(word[1], number(word[2]));
	} else if (IS("eventfd", 2)) {
		new_descriptor(word[1], eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	} else if (IS("dup", 3)) {
		new_descriptor(word[1], fcntl(descriptor(word[2]), F_DUPFD_CLOEXEC, 0));
	} else if (IS("close", 2)) {
		do_close(word[1]);
	} else if (IS("buf", 4)) {
		do_buffer(word[1], number(word[2]), number(word[3]), count > 4 ? protection(word[4]) : PROT_READ | PROT_WRITE);
	} else if (IS("fill", 4) && (buffer = find_kind(word[1], BUFFER)) && number(word[2]) <= buffer->length) {
		from_hex(word[3], (uint8_t *)buffer->value + number(word[2]), buffer->length - number(word[2]));
		fputc('0', out);
	} else if (IS("protect", 5) && (buffer = find_kind(word[1], BUFFER))) {
		print_result(mprotect((void *)(buffer->value + number(word[2])), number(word[3]), protection(word[4])));
	} else if (IS("unmap", 4) && (buffer = find_kind(word[1], BUFFER))) {
		print_result(munmap((void *)(buffer->value + number(word[2])), number(word[3])));
	} else if (IS("ioctl", 4)) {
		do_ioctl(word, count);
	} else if (IS("read", 3)) {
		do_read(descriptor(word[1]), number(word[2]), -1);
	} else if (IS("write", 3)) {
		do_write(descriptor(word[1]), word[2], -1);
	} else if (IS("pread", 4)) {
		do_read(descriptor(word[1]), number(word[3]), number(word[2]));
	} else if (IS("pwrite", 4)) {
		do_write(descriptor(word[1]), word[3], number(word[2]));
	} else if (IS("poll", 2)) {
		do_poll(descriptor(word[1]));
	} else if (IS("truncate", 3)) {
		print_result(ftruncate(descriptor(word[1]), number(word[2])));
	} else if (IS("mmap", 5)) {
		do_mmap(word[1], descriptor(word[2]), number(word[3]), number(word[4]));
	} else if (IS("echo", 3)) {
		do_echo(word[1], word[2]);
	} else {
		fputs("what?", out);
	}
#undef IS
}

int main(int argc, char **argv)
{
	char *line = NULL;
	char *word[WORDS];
	char *rest;
	size_t room = 0;
	FILE *in;
	int count;

	if (argc != 3 || !(in = fopen(argv[1], "r")) || !(out = fopen(argv[2], "w"))) {
		fprintf(stderr, "usage: executor SCRIPT ANSWERS\n");
		return 1;
	}
	if (mmap((void *)STRUCT_ADDRESS, STRUCT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED) {
		perror("struct");
		return 1;
	}
	end_sequence();
	while (getline(&line, &room, in) > 0) {
		count = 0;
		for (char *at = strtok_r(line, " \t\n", &rest); at && count < WORDS; at = strtok_r(NULL, " \t\n", &rest))
			word[count++] = at;
		if (count == 0 || word[0][0] == '#')
			continue;
		if (!strcmp(word[0], "seq")) {
			end_sequence();
			fflush(out);
			if (tainted())
				break;
			fprintf(out, "seq %s", count > 1 ? word[1] : "");
		} else {
			run(word, count);
		}
		fputc('\n', out);
	}
	end_sequence();
	fputs(tainted() ? "tainted\n" : "end\n", out);
	return fclose(out) ? 1 : 0;
}
