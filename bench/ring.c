/*
 * The driver of the benchmark `ring`, the same for both devices: GET_ID requests to a virtio-blk, 32 under
 * way at a time.
 *
 * Usage: ring FILE|- REQUESTS. The device is that of a vhost-vdpa file, or with - the reference in C
 * (ring-device.h), behind the same two eventfds. For every line that it reads from stdin it makes REQUESTS
 * requests, all that have ended being made available again by one kick, and prints the nanoseconds of one.
 * Every answer is looked at; a wrong one ends the program with status 1.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vhost.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include "measure.h"
#include "ring-device.h"

#define DEPTH 32
#define HEADERS 0x4000
#define ANSWERS 0x5000
#define ANSWER_BYTES 64
/* VERSION_1, ACCESS_PLATFORM, and FLUSH. */
#define FEATURES 0x300000200ul
#define BACKEND_FEATURES 0x13eul

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void ask(int fd, const char *name, unsigned long request, void *argument)
{
	if (ioctl(fd, request, argument) != 0)
		fail(name);
}
#define ASK(fd, request, argument) ask(fd, #request, request, argument)

static uint8_t *answer_of(const struct ring *ring, int request)
{
	return ring->memory + ANSWERS + request * ANSWER_BYTES;
}

/* Memory, eventfds, and DEPTH requests of three descriptors each. */
static struct ring make_ring(void)
{
	int memfd = memfd_create("ring", 0);
	if (memfd < 0 || ftruncate(memfd, MEMORY_BYTES) != 0)
		fail("memfd");
	uint8_t *memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (memory == MAP_FAILED)
		fail("mmap");
	struct ring ring = {
		.memory = memory,
		.descriptors = (struct descriptor *)memory,
		.available = (struct available *)(memory + AVAILABLE),
		.used = (struct used *)(memory + USED),
		.kick = eventfd(0, EFD_CLOEXEC),
		.call = eventfd(0, EFD_CLOEXEC),
	};
	for (int i = 0; i < DEPTH; i++) {
		struct descriptor *first = ring.descriptors + 3 * i;
		uint64_t answer = BASE + ANSWERS + i * ANSWER_BYTES;
		*(uint32_t *)(memory + HEADERS + 16 * i) = GET_ID;
		first[0] = (struct descriptor){BASE + HEADERS + 16 * i, 16, NEXT, 3 * i + 1};
		first[1] = (struct descriptor){answer, ID_BYTES, NEXT | WRITE, 3 * i + 2};
		first[2] = (struct descriptor){answer + ID_BYTES, 1, WRITE, 0};
	}
	return ring;
}

/* The device of a vhost-vdpa file gets the ring, and runs. */
static void present(const struct ring *ring, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fail(path);
	uint64_t features = FEATURES, backend = BACKEND_FEATURES;
	uint8_t status = 0x0b;
	ASK(fd, VHOST_SET_OWNER, NULL);
	ASK(fd, VHOST_SET_BACKEND_FEATURES, &backend);
	ASK(fd, VHOST_SET_FEATURES, &features);
	ASK(fd, VHOST_VDPA_SET_STATUS, &status);
	struct vhost_msg_v2 message = {
		.type = VHOST_IOTLB_MSG_V2,
		.iotlb = {.iova = BASE,
			  .size = MEMORY_BYTES,
			  .uaddr = (uintptr_t)ring->memory,
			  .perm = VHOST_ACCESS_RW,
			  .type = VHOST_IOTLB_UPDATE},
	};
	if (write(fd, &message, sizeof message) != sizeof message)
		fail("IOTLB message");
	struct vhost_vring_state size = {0, RING_SIZE}, base = {0, 0}, enabled = {0, 1};
	struct vhost_vring_addr addresses = {
		.desc_user_addr = BASE, .avail_user_addr = BASE + AVAILABLE, .used_user_addr = BASE + USED};
	struct vhost_vring_file kick = {0, ring->kick}, call = {0, ring->call};
	ASK(fd, VHOST_SET_VRING_NUM, &size);
	ASK(fd, VHOST_SET_VRING_BASE, &base);
	ASK(fd, VHOST_SET_VRING_ADDR, &addresses);
	ASK(fd, VHOST_SET_VRING_KICK, &kick);
	ASK(fd, VHOST_SET_VRING_CALL, &call);
	ASK(fd, VHOST_VDPA_SET_VRING_ENABLE, &enabled);
	status = 0x0f;
	ASK(fd, VHOST_VDPA_SET_STATUS, &status);
}

/* The reference as a process, which ends with us. */
static void start_reference(const struct ring *ring)
{
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (child > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	device(ring);
	exit(1);
}

static void make_available(const struct ring *ring, int request)
{
	uint16_t index = ring->available->index;

	answer_of(ring, request)[0] = answer_of(ring, request)[ID_BYTES] = 0xee;
	ring->available->heads[index % RING_SIZE] = 3 * request;
	__atomic_store_n(&ring->available->index, (uint16_t)(index + 1), __ATOMIC_RELEASE);
}

static void kick(const struct ring *ring)
{
	uint64_t one = 1;

	__sync_synchronize();
	if (write(ring->kick, &one, sizeof one) != sizeof one)
		fail("kick");
}

/* Waits until the device has used more than `seen`. Returns its index. */
static uint16_t wait_used(const struct ring *ring, uint16_t seen)
{
	uint16_t index;
	uint64_t count;

	while ((index = __atomic_load_n(&ring->used->index, __ATOMIC_ACQUIRE)) == seen)
		if (read(ring->call, &count, sizeof count) != sizeof count)
			fail("call");
	return index;
}

/* The request whose answer is the used element `index`. */
static int checked(const struct ring *ring, uint16_t index)
{
	static const char id[ID_BYTES] = ID;
	uint32_t head = ring->used->elements[index % RING_SIZE].head;
	uint32_t length = ring->used->elements[index % RING_SIZE].length;
	const uint8_t *answer = answer_of(ring, head / 3);

	if (head % 3 != 0 || head >= 3 * DEPTH || length != ID_BYTES + 1 || answer[ID_BYTES] != 0 ||
	    memcmp(answer, id, sizeof id) != 0) {
		fprintf(stderr, "a wrong answer: head %u, %u bytes\n", head, length);
		exit(1);
	}
	return head / 3;
}

/* Makes `count` requests and waits for all of them. */
static void pass(const struct ring *ring, long count)
{
	uint16_t seen = ring->used->index;
	long made = 0, ended = 0;

	for (; made < DEPTH && made < count; made++)
		make_available(ring, made);
	kick(ring);
	while (ended < count) {
		uint16_t index = wait_used(ring, seen);
		long before = made;
		for (; seen != index; seen++, ended++) {
			int request = checked(ring, seen);
			if (made < count) {
				make_available(ring, request);
				made++;
			}
		}
		if (made > before)
			kick(ring);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	long requests = strtol(argv[2], 0, 10);
	struct ring ring = make_ring();
	if (strcmp(argv[1], "-") == 0)
		start_reference(&ring);
	else
		present(&ring, argv[1]);
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		double begin = now_ns();
		pass(&ring, requests);
		printf("%.1f\n", (now_ns() - begin) / requests);
		fflush(stdout);
	}
	return 0;
}
