/*
 * A driver that does everything wrong, for a virtio-blk behind vhost-vdpa: one bad ring, message or call
 * after the other, each on a device that was just opened.
 *
 * Usage: badrings DEVICE OTHER. For each case it prints what became of DEVICE. After each, a right request to
 * OTHER, another disk, must be answered; if not, the program ends with status 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 8
#define BYTES 0x10000ul
#define BASE 0x100000ul
#define NOWHERE 0x9000000ul
#define AVAILABLE 0x1000
#define USED 0x2000
#define HEADER 0x3000
#define ANSWER 0x4000
#define STATUS 0x5000
#define NEXT 1
#define WRITE 2
#define INDIRECT 4
#define GET_ID 8
#define NEEDS_RESET 0x40
#define PATIENCE_MS 20000

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

struct disk {
	int fd, memfd, kick, error, config;
	uint8_t *memory;
	struct descriptor *descriptors;
	uint16_t *available;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int iotlb(const struct disk *disk, int type)
{
	struct vhost_msg_v2 message = {.type = VHOST_IOTLB_MSG_V2};

	message.iotlb.iova = BASE;
	message.iotlb.size = BYTES;
	message.iotlb.uaddr = (uintptr_t)disk->memory;
	message.iotlb.perm = VHOST_ACCESS_RW;
	message.iotlb.type = type;
	return write(disk->fd, &message, sizeof message) == sizeof message;
}

/* A right request: one chain of header, answer and status. */
static void fill(struct disk *disk)
{
	struct descriptor *chain = disk->descriptors;

	*(uint32_t *)(disk->memory + HEADER) = GET_ID;
	disk->memory[STATUS] = 0xee;
	chain[0] = (struct descriptor){BASE + HEADER, 16, NEXT, 1};
	chain[1] = (struct descriptor){BASE + ANSWER, 20, NEXT | WRITE, 2};
	chain[2] = (struct descriptor){BASE + STATUS, 1, WRITE, 0};
	disk->available[2] = 0;
	disk->available[1] = 1;
}

/* Opens a disk that nobody else has any more, with mapped memory and without a ring. */
static struct disk make(const char *path)
{
	struct disk disk = {.memfd = memfd_create("ring", 0)};
	uint64_t features = 0x300000200ul, backend = 0x13e;
	uint8_t status = 0x0b;

	for (int tries = 0; (disk.fd = open(path, O_RDWR | O_CLOEXEC)) < 0; tries++) {
		if (errno != EBUSY || tries == PATIENCE_MS)
			fail(path);
		usleep(1000);
	}
	if (disk.memfd < 0 || ftruncate(disk.memfd, BYTES) != 0)
		fail("memfd");
	disk.memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, disk.memfd, 0);
	if (disk.memory == MAP_FAILED)
		fail("mmap");
	disk.descriptors = (struct descriptor *)disk.memory;
	disk.available = (uint16_t *)(disk.memory + AVAILABLE);
	disk.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	disk.error = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	disk.config = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ioctl(disk.fd, VHOST_SET_OWNER) != 0 ||
	    ioctl(disk.fd, VHOST_SET_BACKEND_FEATURES, &backend) != 0 ||
	    ioctl(disk.fd, VHOST_SET_FEATURES, &features) != 0 ||
	    ioctl(disk.fd, VHOST_VDPA_SET_STATUS, &status) != 0 || !iotlb(&disk, VHOST_IOTLB_UPDATE))
		fail("set up");
	fill(&disk);
	return disk;
}

/* Its ring, at `base`, and DRIVER_OK. */
static void start(const struct disk *disk, uint64_t base)
{
	struct vhost_vring_state size = {0, SIZE}, enabled = {0, 1};
	struct vhost_vring_addr addresses = {.desc_user_addr = base};
	struct vhost_vring_file kick = {0, disk->kick}, error = {0, disk->error};
	uint8_t status = 0x0f;
	int config = disk->config;

	addresses.avail_user_addr = base + AVAILABLE;
	addresses.used_user_addr = base + USED;
	if (ioctl(disk->fd, VHOST_SET_VRING_NUM, &size) != 0 ||
	    ioctl(disk->fd, VHOST_SET_VRING_ADDR, &addresses) != 0 ||
	    ioctl(disk->fd, VHOST_SET_VRING_KICK, &kick) != 0 ||
	    ioctl(disk->fd, VHOST_SET_VRING_ERR, &error) != 0 ||
	    ioctl(disk->fd, VHOST_VDPA_SET_CONFIG_CALL, &config) != 0 ||
	    ioctl(disk->fd, VHOST_VDPA_SET_VRING_ENABLE, &enabled) != 0 ||
	    ioctl(disk->fd, VHOST_VDPA_SET_STATUS, &status) != 0)
		fail("start");
}

static int signalled(int fd)
{
	struct pollfd waited = {.fd = fd, .events = POLLIN};

	return poll(&waited, 1, PATIENCE_MS) == 1;
}

static uint8_t status_of(const struct disk *disk)
{
	uint8_t status;

	if (ioctl(disk->fd, VHOST_VDPA_GET_STATUS, &status) != 0)
		fail("status");
	return status;
}

static void kick(const struct disk *disk)
{
	uint64_t one = 1;

	if (write(disk->kick, &one, sizeof one) != sizeof one)
		fail("kick");
}

/* Kicks, and waits until the request has ended or the device needs a reset. @returns whether it does. */
static int broken(const struct disk *disk, int watched)
{
	kick(disk);
	for (int waited = 0; waited < PATIENCE_MS; waited++) {
		if ((status_of(disk) & NEEDS_RESET) != 0)
			return 1;
		if (watched && __atomic_load_n((uint16_t *)(disk->memory + USED) + 1, __ATOMIC_ACQUIRE) != 0)
			return 0;
		usleep(1000);
	}
	return -1;
}

static void end(struct disk *disk)
{
	close(disk->fd);
	close(disk->memfd);
	close(disk->kick);
	close(disk->error);
	close(disk->config);
	munmap(disk->memory, BYTES);
}

/* A right request to `path`. @returns whether it was answered. */
static int works(const char *path)
{
	struct disk disk = make(path);

	start(&disk, BASE);
	int answered = broken(&disk, 1) == 0 && disk.memory[STATUS] == 0;
	end(&disk);
	return answered;
}

static const char *spoiled[] = {
	"a loop",	       "a head past the table", "a next past the table", "an index far ahead",
	"4 GiB and more",      "no place for a status", "write before read",	 "indirect and next",
	"a ring nowhere",      "a ring unmapped",	"a ring cut off",	 "a buffer nowhere",
	"a header cut short",
};

/* Makes the ring wrong in the way `n`, starts it, and says what comes of it. */
static void spoil(const char *path, int n)
{
	struct disk disk = make(path);
	struct descriptor *chain = disk.descriptors;

	if (n == 0)
		chain[0].next = 0;
	else if (n == 1)
		disk.available[2] = SIZE;
	else if (n == 2)
		chain[0].next = 1000;
	else if (n == 3)
		disk.available[1] = SIZE + 1;
	else if (n == 4)
		chain[1].length = chain[2].length = 0xffffffff;
	else if (n == 5)
		chain[0].flags = 0;
	else if (n == 6)
		chain[0].flags |= WRITE, chain[2].flags = 0, chain[1].flags = NEXT;
	else if (n == 7)
		chain[0].flags |= INDIRECT;
	else if (n == 11)
		chain[1].address = NOWHERE;
	else if (n == 12)
		chain[0].length = 15;
	start(&disk, n == 8 ? NOWHERE : BASE);
	if ((n == 9 && !iotlb(&disk, VHOST_IOTLB_INVALIDATE)) || (n == 10 && ftruncate(disk.memfd, 0) != 0))
		fail(spoiled[n]);
	int found = broken(&disk, n > 10);
	if (found == 1)
		printf("%s: needs a reset, errors %d, configuration %d\n", spoiled[n], signalled(disk.error),
		       signalled(disk.config));
	else if (found == 0)
		printf("%s: status %d\n", spoiled[n], disk.memory[STATUS]);
	else
		printf("%s: nothing\n", spoiled[n]);
	end(&disk);
}

/* Messages of every length but the right ones, and of types that there are not. */
static void messages(const char *path)
{
	struct disk disk = make(path);
	uint8_t bytes[256] = {0};
	int taken = 0;

	for (size_t length = 1; length <= sizeof bytes; length++)
		taken += length < sizeof(struct vhost_msg_v2) && write(disk.fd, bytes, length) >= 0;
	for (uint32_t type = 0; type < 256; type++) {
		bytes[0] = type;
		taken += write(disk.fd, bytes, sizeof(struct vhost_msg_v2)) >= 0;
		taken += type > VHOST_IOTLB_BATCH_END && iotlb(&disk, type);
	}
	printf("wrong messages: %d taken\n", taken);
	end(&disk);
}

/* Calls at the wrong time, or about what is not there. */
static void calls(const char *path)
{
	struct disk disk = make(path);
	struct vhost_vring_addr addresses = {.desc_user_addr = NOWHERE};
	uint32_t config[66];
	static const uint32_t ranges[][2] = {{96, 1}, {0, 97}, {0xffffffff, 2}, {1, 0xffffffff}, {0, 0}};

	kick(&disk);
	start(&disk, BASE);
	int moved = ioctl(disk.fd, VHOST_SET_VRING_ADDR, &addresses), taken = 0;
	printf("a ring that moves: %d %s\n", moved, moved == 0 ? "-" : strerrorname_np(errno));
	for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
		memcpy(config, ranges[i], sizeof ranges[i]);
		taken += ioctl(disk.fd, VHOST_VDPA_GET_CONFIG, config) == 0;
	}
	printf("past the configuration: %d read\n", taken);
	end(&disk);
}

/* An owner that ends with a request under way. */
static void dies(const char *path)
{
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (child == 0) {
		struct disk disk = make(path);
		start(&disk, BASE);
		kick(&disk);
		_exit(0);
	}
	if (waitpid(child, NULL, 0) != child)
		fail("wait");
	printf("a dead owner's disk: %s\n", works(path) ? "works" : "does not work");
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	for (unsigned n = 0; n < sizeof spoiled / sizeof spoiled[0]; n++) {
		spoil(argv[1], n);
		fflush(stdout);
		if (!works(argv[2]))
			return 1;
	}
	messages(argv[1]);
	calls(argv[1]);
	dies(argv[1]);
	return works(argv[1]) && works(argv[2]) ? 0 : 1;
}
