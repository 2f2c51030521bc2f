/* A vhost-vdpa file: its owner, its IOTLB and its queues, from open to close. */
#define _GNU_SOURCE
#include "restless.h"

#include <linux/vhost.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TRANSMIT = 1, RING = 16, AVAILABLE = 0x400, USED = 0x800, PACKET = PAGE, PACKET_BYTES = 64 };

#define FEATURES 0x300000000ull /* VERSION_1, ACCESS_PLATFORM */
#define BACKEND_FEATURES 0x2ull /* IOTLB_MSG_V2 */

static void message(int fd, uint8_t type, void *memory)
{
	struct vhost_msg_v2 given = {
		.type = VHOST_IOTLB_MSG_V2,
		.iotlb = { .iova = PAGE, .size = PAGES * PAGE, .uaddr = (uintptr_t)memory,
			   .perm = VHOST_ACCESS_RW, .type = type },
	};

	write(fd, &given, sizeof given);
}

static void status(int fd, uint8_t value)
{
	ioctl(fd, VHOST_VDPA_SET_STATUS, &value);
}

static void queue(int fd, unsigned long number, unsigned value)
{
	struct vhost_vring_state state = { TRANSMIT, value };

	ioctl(fd, number, &state);
}

/* One buffer of one packet, available once. */
static void fill_ring(char *memory)
{
	uint64_t packet = PAGE + PACKET;
	uint32_t length = PACKET_BYTES;

	memset(memory, 0, PAGE);
	memcpy(memory, &packet, sizeof packet);
	memcpy(memory + 8, &length, sizeof length);
	memory[AVAILABLE + 2] = 1;
}

static void set_up(int fd, char *memory, int kick, int call)
{
	struct vhost_vring_addr addresses = { .index = TRANSMIT, .desc_user_addr = PAGE,
					      .avail_user_addr = PAGE + AVAILABLE,
					      .used_user_addr = PAGE + USED };
	struct vhost_vring_file kicked = { TRANSMIT, kick }, called = { TRANSMIT, call };
	uint64_t features = FEATURES, backend = BACKEND_FEATURES;

	ioctl(fd, VHOST_SET_OWNER);
	ioctl(fd, VHOST_SET_BACKEND_FEATURES, &backend);
	status(fd, 3);
	ioctl(fd, VHOST_SET_FEATURES, &features);
	status(fd, 0x0b);
	message(fd, VHOST_IOTLB_UPDATE, memory);
	fill_ring(memory);
	queue(fd, VHOST_SET_VRING_NUM, RING);
	queue(fd, VHOST_SET_VRING_BASE, 0);
	ioctl(fd, VHOST_SET_VRING_ADDR, &addresses);
	ioctl(fd, VHOST_SET_VRING_KICK, &kicked);
	ioctl(fd, VHOST_SET_VRING_CALL, &called);
	queue(fd, VHOST_VDPA_SET_VRING_ENABLE, 1);
	status(fd, 0x0f);
}

void vdpa(void)
{
	char *memory = memory_of_own();
	int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t one = 1;

	for (int round = 0;; round++) {
		int fd = at("vhost-vdpa-0");

		set_up(fd, memory, kick, call);
		write(kick, &one, sizeof one);
		queue(fd, VHOST_GET_VRING_BASE, 0);
		if (round % 2)
			ioctl(fd, VHOST_VDPA_SUSPEND);
		else
			message(fd, VHOST_IOTLB_INVALIDATE, memory);
		if (round % 3)
			status(fd, 0);
		close(fd);
	}
}
