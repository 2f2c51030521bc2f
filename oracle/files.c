/* Lines that open files, read, write and ask of them what every file can be asked. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>
#include "executor.h"

/*
 * Workers of the kernel get their turn when the executor sleeps. On a busy machine the guest may be stopped
 * just then, and both wake at once afterwards: so it sleeps several times.
 */
#define TURNS 4
#define TURN_MICROSECONDS 250

static uint8_t bytes[WATCHED_BYTES];

static void print_read(ssize_t got)
{
	print_result(got);
	if (got > 0) {
		fputc(' ', out);
		print_hex(bytes, got);
	}
}

static size_t at_most(size_t length)
{
	return length < sizeof(bytes) ? length : sizeof(bytes);
}

/* preadv FD OFFSET LENGTH...: the parts lie one after the other. */
static void do_preadv(char **word, int count)
{
	struct iovec parts[WORDS];
	size_t used = 0;

	for (int i = 3; i < count; i++) {
		parts[i] = (struct iovec){ bytes + used, at_most(number(word[i])) };
		used = at_most(used + parts[i].iov_len);
	}
	print_read(preadv(descriptor(word[1]), parts + 3, count - 3, evaluate(word[2])));
}

/* pwritev FD OFFSET HEX... */
static void do_pwritev(char **word, int count)
{
	struct iovec parts[WORDS];
	size_t used = 0;

	for (int i = 3; i < count; i++) {
		parts[i] = (struct iovec){
			bytes + used, from_hex(word[i], bytes + used, sizeof(bytes) - used) };
		used += parts[i].iov_len;
	}
	print_result(pwritev(descriptor(word[1]), parts + 3, count - 3, evaluate(word[2])));
}

/* write FD HEX [OFFSET:SIZE=VALUE]... */
static void do_write(char **word, int count)
{
	size_t length = from_hex(word[2], bytes, sizeof(bytes));

	for (int i = 3; i < count; i++)
		patch(bytes, word[i]);
	print_result(write(descriptor(word[1]), bytes, length));
	/* What a write to an eventfd sets going is done by a worker. */
	for (int n = 0; n < TURNS; n++)
		usleep(TURN_MICROSECONDS);
}

/* Waits until an eventfd is signalled, and reads it. */
static void do_hear(int fd, int milliseconds)
{
	struct pollfd request = { .fd = fd, .events = POLLIN };

	for (int n = 0; n < TURNS && poll(&request, 1, (milliseconds + TURNS - 1) / TURNS) == 0; n++)
		continue;
	print_read(read(fd, bytes, sizeof(uint64_t)));
}

static void do_poll(int fd)
{
	struct pollfd request = { .fd = fd, .events = POLLIN | POLLOUT };

	if (poll(&request, 1, 0) < 0)
		print_result(-1);
	else
		fprintf(out, "0x%x", request.revents);
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
	forget(name);
}

#define IS(verb, least) (!strcmp(word[0], verb) && count >= (least))

static bool transfer_line(char **word, int count)
{
	if (IS("read", 3))
		print_read(read(descriptor(word[1]), bytes, at_most(number(word[2]))));
	else if (IS("hear", 3))
		do_hear(descriptor(word[1]), number(word[2]));
	else if (IS("write", 3))
		do_write(word, count);
	else if (IS("pread", 4))
		print_read(pread(descriptor(word[1]), bytes, at_most(number(word[3])), evaluate(word[2])));
	else if (IS("pwrite", 4))
		print_result(pwrite(descriptor(word[1]), bytes, from_hex(word[3], bytes, sizeof(bytes)),
				    evaluate(word[2])));
	else if (IS("preadv", 4))
		do_preadv(word, count);
	else if (IS("pwritev", 4))
		do_pwritev(word, count);
	else
		return false;
	return true;
}

bool file_line(char **word, int count)
{
	if (transfer_line(word, count))
		return true;
	if (IS("open", 3))
		new_descriptor(word[1], open(word[2], O_RDWR | O_CLOEXEC));
	else if (IS("eventfd", 2))
		new_descriptor(word[1], eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	else if (IS("dup", 3))
		new_descriptor(word[1], fcntl(descriptor(word[2]), F_DUPFD_CLOEXEC, 0));
	else if (IS("close", 2))
		do_close(word[1]);
	else if (IS("poll", 2))
		do_poll(descriptor(word[1]));
	else if (IS("truncate", 3))
		print_result(ftruncate(descriptor(word[1]), number(word[2])));
	else if (IS("lseek", 4))
		print_result(lseek(descriptor(word[1]), number(word[2]), number(word[3])));
	else if (IS("fsync", 2))
		print_result(fsync(descriptor(word[1])));
	else if (IS("fallocate", 5))
		print_result(fallocate(descriptor(word[1]), number(word[2]), number(word[3]),
				       number(word[4])));
	else
		return false;
	return true;
}
