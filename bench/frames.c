/*
 * A neighbour in the benchmark `neighbours`: has a virtio-net behind vhost-vdpa send frames, one after the
 * other, each of which lies in 1,024 places, by turns in a memfd and in memory of this process.
 *
 * Usage: frames DEVICE. Prints a line before it begins, and goes on until it is killed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PARTS = 1024, PART = 16, PAGE = 4096, SIZE = 256, BYTES = 1 << 20, SENDS = 1, HEADER = 12 };
enum { RING = 0x10000, AVAILABLE = 0x4000, USED = 0x8000, TABLE = 0x40000, DATA = 0x80000 };
enum { NEXT = 1, INDIRECT = 4 };

static const uint64_t BASE = 0x100000, OWN = 0x10000000;

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

static int device;

static void *must(void *mapped)
{
	if (mapped != MAP_FAILED)
		return mapped;
	perror("mmap");
	exit(1);
}

static void call(unsigned long request, const void *argument)
{
	if (ioctl(device, request, argument) == 0)
		return;
	perror("ioctl");
	exit(1);
}

static void map(uint64_t iova, size_t size, void *memory)
{
	struct vhost_msg_v2 message = {.type = VHOST_IOTLB_MSG_V2};

	message.iotlb.iova = iova;
	message.iotlb.size = size;
	message.iotlb.uaddr = (uintptr_t)memory;
	message.iotlb.perm = VHOST_ACCESS_RW;
	message.iotlb.type = VHOST_IOTLB_UPDATE;
	if (write(device, &message, sizeof message) != sizeof message)
		exit(1);
}

static void set_status(uint8_t status)
{
	call(VHOST_VDPA_SET_STATUS, &status);
}

/* Both queues, of which that of frames to receive stays empty. @return what kicks the other. */
static int start(void)
{
	int kick = -1;

	for (unsigned queue = 0; queue <= SENDS; queue++) {
		struct vhost_vring_state size = {queue, SIZE}, enabled = {queue, 1};
		struct vhost_vring_addr addresses = {.index = queue};
		uint64_t ring = BASE + queue * RING;

		kick = eventfd(0, EFD_NONBLOCK);
		struct vhost_vring_file file = {queue, kick};
		addresses.desc_user_addr = ring;
		addresses.avail_user_addr = ring + AVAILABLE;
		addresses.used_user_addr = ring + USED;
		call(VHOST_SET_VRING_NUM, &size);
		call(VHOST_SET_VRING_ADDR, &addresses);
		call(VHOST_SET_VRING_KICK, &file);
		call(VHOST_VDPA_SET_VRING_ENABLE, &enabled);
	}
	set_status(0x0f);
	return kick;
}

int main(int argc, char **argv)
{
	/* VERSION_1, ACCESS_PLATFORM, INDIRECT_DESC. */
	uint64_t features = 0x310000000, backend = 0x13e, one = 1;
	int memfd = memfd_create("frames", 0);

	device = argc == 2 ? open(argv[1], O_RDWR) : -1;
	if (device < 0 || ftruncate(memfd, BYTES) != 0)
		return 1;
	uint8_t *shared = must(mmap(0, BYTES, 3, MAP_SHARED, memfd, 0));
	void *own = must(mmap(0, PARTS * PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
	call(VHOST_SET_OWNER, 0);
	call(VHOST_SET_BACKEND_FEATURES, &backend);
	set_status(0x03);
	call(VHOST_SET_FEATURES, &features);
	set_status(0x0b);
	map(BASE, BYTES, shared);
	map(OWN, PARTS * PAGE, own);
	int kick = start();

	struct descriptor *ring = (struct descriptor *)(shared + RING);
	struct descriptor *parts = (struct descriptor *)(shared + TABLE);
	volatile uint16_t *available = (uint16_t *)(shared + RING + AVAILABLE);
	volatile uint16_t *used = (uint16_t *)(shared + RING + USED);
	ring[0] = (struct descriptor){BASE + TABLE, PARTS * sizeof *parts, INDIRECT, 0};
	parts[0] = (struct descriptor){BASE + DATA, HEADER, NEXT, 1};
	for (int n = 1; n < PARTS; n++) {
		uint64_t at = n % 2 ? OWN + n * PAGE : BASE + DATA + n * PART;

		parts[n] = (struct descriptor){at, PART, n < PARTS - 1 ? NEXT : 0, n + 1};
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		available[1]++;
		if (write(kick, &one, sizeof one) != sizeof one)
			return 1;
		while (used[1] != available[1])
			usleep(100);
	}
}
