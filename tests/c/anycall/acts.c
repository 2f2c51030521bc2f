#define _GNU_SOURCE
#include "anycall.h"

#include <linux/vfio.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ioasid.h"

enum { MESSAGE_BYTES = 72 };

static unsigned char room[4096];

static size_t count_calls(void)
{
	size_t count = 0;

	while (calls[count].name != NULL)
		count++;
	return count;
}

/* Those whose argument is no struct. */
static unsigned long plain_argument(const struct call *call)
{
	static int container;
	static const char *names[] = { "0000:6a:01.0", "0000:6a:02.0", "0000:6a:03.0", "" };

	if (strcmp(call->name, "set container") == 0) {
		container = some_fd(CONTAINER);
		return (uintptr_t)&container;
	}
	if (strcmp(call->name, "group device") == 0)
		return (uintptr_t)names[below(4)];
	return strcmp(call->name, "set iommu") == 0 ? 1 + 2 * below(2) : anything();
}

static void control(struct call *call)
{
	int fd = some_fd(call->on);
	unsigned long argument = (uintptr_t)room;
	int result;

	/* An iommufd is a container too, and the other way round. */
	if (call->on == CONTAINER && one_in(4))
		fd = some_fd(IOMMU);
	memset(room, 0, sizeof room);
	if (call->fields[0] == 0)
		argument = plain_argument(call);
	else
		fill(call, fd, room);
	if (one_in(200))
		argument = anything();
	call->made++;
	if (call->number == MESSAGE)
		result = fd > 2 ? write(fd, room, one_in(20) ? below(100) : MESSAGE_BYTES) : -1;
	else
		result = ioctl(fd, one_in(200) ? anything() : call->number, argument);
	if (result < 0)
		return;
	call->done++;
	if (strcmp(call->name, "group device") == 0)
		keep(DEVICE, result);
	else if (argument == (uintptr_t)room)
		take_results(call, fd, room);
}

/* Registers and regions are where VFIO puts them: the index above bit 40. */
static off_t somewhere(void)
{
	if (one_in(20))
		return anything() >> below(64);
	return ((off_t)below(10) << 40) + (one_in(2) ? 4 * below(64) : below(0x8000));
}

/* Numbers that may be IOVAs, lengths and flags. */
static void scribble(unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i + 8 <= length; i += 8) {
		uint64_t word = one_in(4) ? anything() : below(0x1000) * below(0x100);

		memcpy(bytes + i, &word, sizeof word);
	}
}

/* A descriptor of DSA's goes to a portal as one piece of 64 bytes. */
static void transfer(void)
{
	int fd = some_fd(one_in(8) ? VDPA : DEVICE);
	size_t length = one_in(4) ? 64 : one_in(8) ? below(sizeof room) : 1u << below(4);

	scribble(room, sizeof room);
	if (fd <= 2)
		return;
	if (one_in(2))
		pread(fd, room, length, somewhere());
	else
		pwrite(fd, room, length, one_in(3) ? (off_t)(2ull << 40) : somewhere());
}

/* Streams: what happened is read when there is something, answers are written. */
static void events(void)
{
	enum kind kinds[] = { EVENTS, DEVICE, IOASID, IOMMU, CONTROL };
	struct pollfd waiting = { .fd = some_fd(kinds[below(5)]), .events = POLLIN | POLLOUT };

	poll(&waiting, 1, 0);
	if (waiting.fd <= 2)
		return;
	if (waiting.revents & POLLIN)
		read(waiting.fd, room, one_in(2) ? sizeof room : below(64));
	else if (one_in(2)) {
		scribble(room, sizeof room);
		write(waiting.fd, room, 8 * below(8));
	}
}

static void kick(void)
{
	const uint64_t one = 1;
	int fd = some_fd(EVENT);

	if (fd > 2)
		write(fd, &one, sizeof one);
}

/* Rings, and data of calls, lie in memory that is mapped; some of it cannot be written. */
static void stir(void)
{
	struct iovec from = { room, 512 }, to = { own_memory + 4096 * below(SPAN / 4096), 512 };

	scribble(room, sizeof room);
	process_vm_writev(getpid(), &from, 1, &to, 1, 0);
}

/* Descriptors of files that are ours by another open, and pages of them. */
static void strange_memory(void)
{
	void *page = own_memory + 4096 * below(SPAN / 4096);
	int fd = some_fd(one_in(2) ? MEMORY : DEVICE);

	if (fd > 2 && one_in(2))
		mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
	else
		mmap(page, 4096, one_in(4) ? PROT_READ : PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

void act_by_name(const char *name)
{
	if (strcmp(name, "transfer") == 0)
		transfer();
	if (strcmp(name, "kick") == 0) {
		stir();
		kick();
	}
	for (struct call *call = calls; call->name != NULL; call++)
		if (strcmp(call->name, name) == 0)
			control(call);
}

void act(void)
{
	uint32_t dice = below(100);

	if (dice < 8) {
		enum kind kind = below(KINDS);

		keep(kind, one_in(6) ? dup(some_fd(kind)) : open_one(kind));
	} else if (dice < 10)
		close_some();
	else if (dice < 19)
		transfer();
	else if (dice < 23)
		events();
	else if (dice < 25)
		strange_memory();
	else if (dice < 27)
		stir();
	else if (dice < 29)
		kick();
	else if (dice < 36)
		tell_story();
	else
		control(&calls[below(count_calls())]);
}
