/*
 * A driver of a virtio-net that hears itself, behind vhost-vdpa: it sends frames in as many parts as a buffer
 * can have, most of them of one byte, in memory of the process. Usage: manyparts DEVICE OTHER. All frames of
 * a full ring must come back right. Meanwhile calls on OTHER, an ioasid file, must be answered.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "check.h"
#include "ioasid.h"

#define BASE 0x100000ul
#define BYTES (64ul << 20)
#define SIZE 256
#define PARTS 1000
#define LENGTH 1024
#define HEADER 12
/* Of each of the two rings. */
#define RING 0x10000
#define AVAILABLE 0x4000
#define USED 0x8000
#define TABLES 0x40000
#define TABLE 0x4000
#define RECEIVED (TABLES + SIZE * TABLE)
#define BUFFER 0x800
#define SENT (RECEIVED + SIZE * BUFFER)
#define NEXT 1
#define WRITE 2
#define INDIRECT 4
#define NEEDS_RESET 0x40

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

static uint8_t *memory;
static int device;

static uint16_t *word(int ring, int offset)
{
	return (uint16_t *)(memory + ring * RING + offset);
}

/* Where byte `i` of frame `n` is: no two parts follow each other. */
static uint64_t place(int n, int i)
{
	int part = i < PARTS - 1 ? i : PARTS - 1;

	return SENT + (uint64_t)n * TABLE + part * 3 + (i - part);
}

static uint8_t byte_of(int n, int i)
{
	return i < 6 ? 0xff : (uint8_t)(i * 7 + n);
}

/* Frame `n`, and a buffer to receive one. */
static void fill(int n)
{
	struct descriptor *table = (struct descriptor *)(memory + TABLES + n * TABLE);
	struct descriptor *receive = (struct descriptor *)memory;
	struct descriptor *transmit = (struct descriptor *)(memory + RING);

	/* The header, of zeros, is in the table's own end. */
	table[0] = (struct descriptor){BASE + TABLES + (n + 1) * TABLE - HEADER, HEADER, NEXT, 1};
	for (int part = 0; part < PARTS; part++) {
		uint32_t length = part < PARTS - 1 ? 1 : LENGTH - (PARTS - 1);

		table[part + 1] = (struct descriptor){BASE + place(n, part), length, NEXT, part + 2};
	}
	table[PARTS].flags = 0;
	for (int i = 0; i < LENGTH; i++)
		memory[place(n, i)] = byte_of(n, i);
	transmit[n] = (struct descriptor){BASE + TABLES + n * TABLE, (PARTS + 1) * 16, INDIRECT, 0};
	receive[n] = (struct descriptor){BASE + RECEIVED + n * BUFFER, BUFFER, WRITE, 0};
	word(0, AVAILABLE)[2 + n] = word(1, AVAILABLE)[2 + n] = n;
}

static void start_ring(unsigned ring, int kick)
{
	struct vhost_vring_state size = {ring, SIZE}, enabled = {ring, 1};
	struct vhost_vring_addr addresses = {.index = ring, .desc_user_addr = BASE + ring * RING};
	struct vhost_vring_file file = {ring, kick};

	addresses.avail_user_addr = addresses.desc_user_addr + AVAILABLE;
	addresses.used_user_addr = addresses.desc_user_addr + USED;
	word(ring, AVAILABLE)[1] = SIZE;
	CHECK(ioctl(device, VHOST_SET_VRING_NUM, &size) == 0);
	CHECK(ioctl(device, VHOST_SET_VRING_ADDR, &addresses) == 0);
	CHECK(ioctl(device, VHOST_SET_VRING_KICK, &file) == 0);
	CHECK(ioctl(device, VHOST_VDPA_SET_VRING_ENABLE, &enabled) == 0);
}

static void start(const char *path, int kick)
{
	struct vhost_msg_v2 message = {.type = VHOST_IOTLB_MSG_V2};
	uint64_t features = 0x310000000ul, backend = 0x13e, one = 1;
	uint8_t status = 0x0b;

	device = open(path, O_RDWR | O_CLOEXEC);
	CHECK(device >= 0);
	CHECK(ioctl(device, VHOST_SET_OWNER) == 0);
	CHECK(ioctl(device, VHOST_SET_BACKEND_FEATURES, &backend) == 0);
	CHECK(ioctl(device, VHOST_SET_FEATURES, &features) == 0);
	CHECK(ioctl(device, VHOST_VDPA_SET_STATUS, &status) == 0);
	message.iotlb.iova = BASE;
	message.iotlb.size = BYTES;
	message.iotlb.uaddr = (uintptr_t)memory;
	message.iotlb.perm = VHOST_ACCESS_RW;
	message.iotlb.type = VHOST_IOTLB_UPDATE;
	CHECK(write(device, &message, sizeof message) == sizeof message);
	start_ring(0, -1);
	start_ring(1, kick);
	status = 0x0f;
	CHECK(ioctl(device, VHOST_VDPA_SET_STATUS, &status) == 0);
	CHECK(write(kick, &one, sizeof one) == sizeof one);
}

int main(int count, char **words)
{
	CHECK(count == 3);
	int other = open(words[2], O_RDWR | O_CLOEXEC), kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	CHECK(other >= 0 && kick >= 0);
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	for (int n = 0; n < SIZE; n++)
		fill(n);
	start(words[1], kick);
	while (__atomic_load_n(word(0, USED) + 1, __ATOMIC_ACQUIRE) != SIZE) {
		struct ioasid_info info = {.size = sizeof info};
		uint8_t status;

		CHECK(ioctl(other, IOASID_GET_INFO, &info) == 0);
		CHECK(ioctl(device, VHOST_VDPA_GET_STATUS, &status) == 0);
		CHECK((status & NEEDS_RESET) == 0);
		usleep(1000);
	}
	for (int n = 0; n < SIZE; n++)
		for (int i = 0; i < LENGTH; i++)
			CHECK(memory[RECEIVED + n * BUFFER + HEADER + i] == byte_of(n, i));
	printf("right\n");
	return 0;
}
