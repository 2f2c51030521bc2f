#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

int fd = -1, memfd;
bool net;
const char *path, *section;
uint8_t *memory;
static int kicks[3], called[3];

void line(const char *call, const char *arguments, long result, const void *bytes, int length)
{
	const char *name = result >= 0 ? "-" : strerrorname_np(errno);

	printf("%s\t%s\t%s\t%s\t%ld\t", net ? "net" : "blk", section, call, arguments, result);
	if (name != NULL)
		printf("%s\t", name);
	else
		printf("%d\t", errno);
	for (int i = 0; i < length && result >= 0; i++)
		printf("%02x", ((const uint8_t *)bytes)[i]);
	puts(length > 0 && result >= 0 ? "" : "-");
}

void fact(const char *call, const char *arguments, int result, const char *format, ...)
{
	va_list rest;

	printf("%s\t%s\t%s\t%s\t%d\t-\t", net ? "net" : "blk", section, call, arguments, result);
	va_start(rest, format);
	vprintf(format, rest);
	va_end(rest);
	puts("");
}

const char *text(const char *format, ...)
{
	static char buffers[8][160];
	static int next;
	char *buffer = buffers[next++ % 8];
	va_list rest;

	va_start(rest, format);
	vsnprintf(buffer, sizeof buffers[0], format, rest);
	va_end(rest);
	return buffer;
}

long ask(const char *name, const char *arguments, unsigned long request, void *argument, int length)
{
	long result = ioctl(fd, request, argument);

	line(name, arguments, result, argument, length);
	return result;
}

void ask_vring(const char *name, unsigned long request, unsigned index, unsigned num)
{
	struct vhost_vring_state state = {index, num};

	ask(name, text("index=%u num=%u", index, num), request, &state, sizeof state);
}

void ask_file(const char *name, unsigned long request, unsigned index, int file, const char *what)
{
	struct vhost_vring_file given = {index, file};

	ask(name, text("index=%u fd=%s", index, what), request, &given, 0);
}

void set_features(uint64_t features)
{
	ASK(VHOST_SET_FEATURES, text("0x%lx", features), &features, 0);
}

void set_backend_features(uint64_t features)
{
	ASK(VHOST_SET_BACKEND_FEATURES, text("0x%lx", features), &features, 0);
}

void set_status(uint8_t status)
{
	ASK(VHOST_VDPA_SET_STATUS, text("%u", status), &status, 0);
	ASK(VHOST_VDPA_GET_STATUS, "", &status, 1);
}

static void config(const char *name, unsigned long request, uint32_t offset, uint32_t length, bool shown)
{
	static struct {
		uint32_t offset, length;
		uint8_t bytes[504];
	} argument;

	memset(&argument, 0, sizeof argument);
	argument.offset = offset;
	argument.length = length;
	if (request == VHOST_VDPA_SET_CONFIG)
		memset(argument.bytes, 0x52, 64);
	long result = ioctl(fd, request, &argument);
	line(name, text("off=%u len=%u", offset, length), result, argument.bytes, shown ? (int)length : 0);
}

void get_config(uint32_t offset, uint32_t length, bool shown)
{
	config("VHOST_VDPA_GET_CONFIG", VHOST_VDPA_GET_CONFIG, offset, length, shown);
}

void set_config(uint32_t offset, uint32_t length)
{
	config("VHOST_VDPA_SET_CONFIG", VHOST_VDPA_SET_CONFIG, offset, length, false);
}

void own(void)
{
	ASK(VHOST_SET_OWNER, "", NULL, 0);
}

void reopen(void)
{
	if (fd >= 0)
		line("close", "", close(fd), NULL, 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	line("open", "O_RDWR", fd, NULL, 0);
}

long message(const char *what, uint32_t asid, uint8_t type, uint64_t iova, uint64_t size, void *va,
	     uint8_t perm)
{
	struct vhost_msg_v2 given = {
		.type = VHOST_IOTLB_MSG_V2,
		.asid = asid,
		.iotlb = {.iova = iova, .size = size, .uaddr = (uintptr_t)va, .perm = perm, .type = type},
	};
	long result = write(fd, &given, sizeof given);

	line("write(msg_v2)",
	     text("%s asid=%u iova=%#lx size=%#lx perm=%u", what, asid, iova, size, perm), result, NULL, 0);
	return result;
}

void map(uint32_t asid, uint64_t iova, uint64_t size, void *va)
{
	message("UPDATE", asid, VHOST_IOTLB_UPDATE, iova, size, va, VHOST_ACCESS_RW);
}

struct descriptor *descriptors(int queue)
{
	return (struct descriptor *)(memory + queue * 0x1000);
}

volatile uint16_t *available(int queue)
{
	return (volatile uint16_t *)(memory + queue * 0x1000 + 0x400);
}

volatile uint16_t *used(int queue)
{
	return (volatile uint16_t *)(memory + queue * 0x1000 + 0x800);
}

void set_ring(int queue)
{
	uint64_t at = BASE + queue * 0x1000;
	struct vhost_vring_addr addresses = {
		.index = queue,
		.desc_user_addr = at,
		.avail_user_addr = at + 0x400,
		.used_user_addr = at + 0x800,
	};

	VRING(VHOST_SET_VRING_NUM, queue, RING_SIZE);
	VRING(VHOST_SET_VRING_BASE, queue, 0);
	ASK(VHOST_SET_VRING_ADDR, text("index=%d in memory", queue), &addresses, 0);
}

void set_eventfds(int queue)
{
	kicks[queue] = eventfd(0, EFD_NONBLOCK);
	called[queue] = eventfd(0, EFD_NONBLOCK);
	VRING_FILE(VHOST_SET_VRING_CALL, queue, called[queue], "eventfd");
	VRING_FILE(VHOST_SET_VRING_KICK, queue, kicks[queue], "eventfd");
}

void enable(int queue, bool enabled)
{
	VRING(VHOST_VDPA_SET_VRING_ENABLE, queue, enabled);
}

void push(int queue, int head)
{
	volatile uint16_t *ring = available(queue);

	ring[2 + ring[1] % RING_SIZE] = head;
	__sync_synchronize();
	ring[1]++;
	kick(queue);
}

void kick(int queue)
{
	uint64_t one = 1;

	__sync_synchronize();
	if (write(kicks[queue], &one, sizeof one) != sizeof one)
		exit(1);
}

bool wait_used(int queue, int count, int patience_ms)
{
	for (int left = patience_ms; used(queue)[1] != (uint16_t)count; left -= 5) {
		if (left <= 0)
			return false;
		pause_ms(5);
	}
	return true;
}

void wait_called(int queue)
{
	struct pollfd request = {.fd = called[queue], .events = POLLIN};

	poll(&request, 1, PATIENCE_MS);
}

uint32_t used_length(int queue, int index)
{
	return ((volatile uint32_t *)(used(queue) + 2))[index % RING_SIZE * 2 + 1];
}

uint64_t calls(int queue)
{
	uint64_t count;

	return read(called[queue], &count, sizeof count) == sizeof count ? count : 0;
}

void pause_ms(int ms)
{
	usleep(ms * 1000);
}

/* probe PATH net|blk */
int main(int count, char **words)
{
	if (count != 3)
		return 2;
	path = words[1];
	net = strcmp(words[2], "net") == 0;
	memfd = memfd_create("rings", 0);
	if (memfd < 0 || ftruncate(memfd, MEMORY_BYTES) < 0)
		return 1;
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (memory == MAP_FAILED)
		return 1;
	probe_calls();
	probe_messages();
	if (net)
		probe_net();
	else
		probe_blk();
	section = "end";
	reopen();
	uint8_t status = 0xee;
	ASK(VHOST_VDPA_GET_STATUS, "", &status, 1);
	VRING(VHOST_GET_VRING_BASE, 0, 0xee);
	own();
	map(0, BASE, MEMORY_BYTES, memory);
	struct rlimit little = {8192, 8192};
	setrlimit(RLIMIT_MEMLOCK, &little);
	map(0, BASE + 0x100000, MEMORY_BYTES, memory);
	return 0;
}
