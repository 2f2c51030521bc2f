/*
 * Is memory reached by DMA after its owner has unmapped it, and after the owner has exited? Argument: by what
 * it is mapped, "type1", "iommufd" or "iotlb". The devices are edu (0000:3b:00.0, vfio0) and a virtio-blk
 * with a disk of a page or more. The owner is a child, which maps by a descriptor of its parent's. One line
 * for each kind of memory says whether it was reached while mapped, after munmap(2), and without its owner.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vfio.h>
#include <linux/vhost.h>
#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { PAGE = 4096, OWN = 0x100000, OWN_BYTES = 4 * PAGE, HELD = 0x200000 };
/* In memory that parent and child share: what is copied, a ring, and requests of a disk. */
enum { ZERO = 0, RESULT = 0x200, NEW = 0x400, LENGTH = 512, RING = PAGE, HEADER = 2 * PAGE };
enum { READ = 1, WRITE = 2 };

static uint8_t *own;
static int device, group = -1, mapper = -1;

/* How memory is mapped, and copied from one IOVA to another by the device. */
struct interface {
	const char *name;
	void (*open)(void);
	/* What the child does first. A vDPA device serves its owner alone. */
	void (*begin)(void);
	void (*map)(void *at, uint64_t iova, uint64_t length, int rights);
	void (*copy)(uint64_t from, uint64_t to);
};

/* edu, through its group or its own file. */

enum { EDU_BUFFER = 0x40000, SOURCE = 0x80, DESTINATION = 0x88, COUNT = 0x90, COMMAND = 0x98 };
enum { RUN = 1, TO_MEMORY = 2 };

static void move(uint64_t from, uint64_t to, uint64_t command)
{
	const uint64_t values[] = {from, to, LENGTH, command | RUN};

	for (int i = 0; i < 4; i++)
		CHECK(pwrite(device, &values[i], 8, SOURCE + 8 * i) == 8);
	do
		CHECK(pread(device, &command, 8, COMMAND) == 8);
	while (command & RUN);
}

static void copy_by_edu(uint64_t from, uint64_t to)
{
	move(from, EDU_BUFFER, 0);
	move(EDU_BUFFER, to, TO_MEMORY);
}

static void master(void)
{
	const uint16_t command = 6;

	CHECK(pwrite(device, &command, 2, (7ll << 40) + 4) == 2);
}

static void map_type1(void *at, uint64_t iova, uint64_t length, int rights)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof map, .flags = rights, .vaddr = (uintptr_t)at, .iova = iova, .size = length,
	};

	CHECK(!ioctl(mapper, VFIO_IOMMU_MAP_DMA, &map));
}

static void open_type1(void)
{
	group = open("/dev/vfio/1", O_RDWR);
	mapper = open("/dev/vfio/vfio", O_RDWR);
	CHECK(group >= 0 && mapper >= 0 && !ioctl(group, VFIO_GROUP_SET_CONTAINER, &mapper));
	CHECK(!ioctl(mapper, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:3b:00.0");
	CHECK(device >= 0);
	master();
	map_type1(own, OWN, OWN_BYTES, READ | WRITE);
}

enum { BIND = 0x3b76, ATTACH = 0x3b77, IOAS_ALLOC = 0x3b81, IOAS_MAP = 0x3b85 };
static uint32_t ioas;

static void map_iommufd(void *at, uint64_t iova, uint64_t length, int rights)
{
	struct {
		uint32_t size, flags, ioas, zero;
		uint64_t address, length, iova;
	} map = {sizeof map, 1, ioas, 0, (uintptr_t)at, length, iova};

	map.flags |= (rights & READ ? 4 : 0) | (rights & WRITE ? 2 : 0);
	CHECK(!ioctl(mapper, IOAS_MAP, &map));
}

static void open_iommufd(void)
{
	struct { uint32_t size, flags, id; } alloc = {.size = 12};

	mapper = open("/dev/iommu", O_RDWR);
	device = open("/dev/vfio/devices/vfio0", O_RDWR);
	CHECK(mapper >= 0 && device >= 0 && !ioctl(mapper, IOAS_ALLOC, &alloc));
	ioas = alloc.id;
	struct { uint32_t argsz, flags; int32_t iommufd; uint32_t id; } bind = {16, 0, mapper, 0};
	struct { uint32_t argsz, flags, ioas; } attach = {12, 0, ioas};
	CHECK(!ioctl(device, BIND, &bind) && !ioctl(device, ATTACH, &attach));
	master();
	map_iommufd(own, OWN, OWN_BYTES, READ | WRITE);
}

/* A disk, whose first sector is what goes from one place to the other. */

enum { NUM = 16, DRIVER_OK = 4, FEATURES_OK = 11, MORE = 1, DEVICE_WRITES = 2 };
static const uint64_t blk_features = 1ull << 32 | 1ull << 33, backend_features = 2;
static int kick, called;

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

static void map_iotlb(void *at, uint64_t iova, uint64_t length, int rights)
{
	struct vhost_msg_v2 update = {.type = VHOST_IOTLB_MSG_V2};

	update.iotlb = (struct vhost_iotlb_msg){
		.iova = iova, .size = length, .uaddr = (uintptr_t)at, .perm = rights,
		.type = VHOST_IOTLB_UPDATE,
	};
	CHECK(write(device, &update, sizeof update) == sizeof update);
}

static void set_status(uint8_t status)
{
	CHECK(!ioctl(device, VHOST_VDPA_SET_STATUS, &status));
}

static void open_iotlb(void)
{
	device = open("/dev/vhost-vdpa-0", O_RDWR);
	kick = eventfd(0, 0);
	called = eventfd(0, 0);
	CHECK(device >= 0 && kick >= 0 && called >= 0);
}

static void begin_iotlb(void)
{
	const uint64_t ring = OWN + RING;
	struct vhost_vring_addr addresses = {
		.desc_user_addr = ring, .avail_user_addr = ring + 0x400, .used_user_addr = ring + 0x800,
	};
	struct vhost_vring_state num = {0, NUM}, base = {0, 0}, on = {0, 1};
	struct vhost_vring_file kicks = {0, kick}, calls = {0, called};

	CHECK(!ioctl(device, VHOST_SET_OWNER));
	CHECK(!ioctl(device, VHOST_SET_BACKEND_FEATURES, &backend_features));
	set_status(3);
	CHECK(!ioctl(device, VHOST_SET_FEATURES, &blk_features));
	set_status(FEATURES_OK);
	CHECK(!ioctl(device, VHOST_SET_VRING_NUM, &num) && !ioctl(device, VHOST_SET_VRING_BASE, &base));
	CHECK(!ioctl(device, VHOST_SET_VRING_ADDR, &addresses));
	CHECK(!ioctl(device, VHOST_SET_VRING_KICK, &kicks) && !ioctl(device, VHOST_SET_VRING_CALL, &calls));
	CHECK(!ioctl(device, VHOST_VDPA_SET_VRING_ENABLE, &on));
	map_iotlb(own, OWN, OWN_BYTES, READ | WRITE);
	set_status(FEATURES_OK | DRIVER_OK);
}

/* The first sector is written from there or, with DEVICE_WRITES, read to there. */
static void transfer(uint64_t iova, uint16_t direction)
{
	struct virtio_blk_outhdr header = {.type = direction ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT};
	struct descriptor *ring = (struct descriptor *)(own + RING);
	volatile uint16_t *available = (uint16_t *)(own + RING + 0x400);
	uint64_t count = 1;

	memcpy(own + HEADER, &header, sizeof header);
	ring[0] = (struct descriptor){OWN + HEADER, sizeof header, MORE, 1};
	ring[1] = (struct descriptor){iova, LENGTH, MORE | direction, 2};
	ring[2] = (struct descriptor){OWN + HEADER + sizeof header, 1, DEVICE_WRITES, 0};
	available[2 + available[1] % NUM] = 0;
	__sync_synchronize();
	available[1]++;
	CHECK(write(kick, &count, sizeof count) == sizeof count);
	CHECK(read(called, &count, sizeof count) == sizeof count);
}

static void copy_by_disk(uint64_t from, uint64_t to)
{
	transfer(from, 0);
	transfer(to, DEVICE_WRITES);
}

static void nothing(void)
{
}

static const struct interface interfaces[] = {
	{"type1", open_type1, nothing, map_type1, copy_by_edu},
	{"iommufd", open_iommufd, nothing, map_iommufd, copy_by_edu},
	{"iotlb", open_iotlb, begin_iotlb, map_iotlb, copy_by_disk},
};

/* Kinds of memory: what `make` returns begins with FIRST. */

static const uint32_t FIRST = 0x11223344;

struct kind {
	const char *name;
	void *(*make)(void);
	int rights;
};

static void *mapped(int fd, int rights, int flags)
{
	int protection = rights & WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
	void *at = mmap(NULL, PAGE, protection, flags, fd, 0);

	CHECK(at != MAP_FAILED);
	if (rights & WRITE)
		memcpy(at, &FIRST, sizeof FIRST);
	return at;
}

static void *make_anonymous(void)
{
	return mapped(-1, READ | WRITE, MAP_SHARED | MAP_ANONYMOUS);
}

static void *make_memfd(void)
{
	int fd = memfd_create("held", 0);

	CHECK(fd >= 0 && !ftruncate(fd, PAGE));
	return mapped(fd, READ | WRITE, MAP_SHARED);
}

/* A file in tmpfs without a name, which begins with FIRST. */
static int tmpfs_file(int flags)
{
	char path[64];
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0644), other;

	CHECK(fd >= 0 && !ftruncate(fd, PAGE) && pwrite(fd, &FIRST, sizeof FIRST, 0) == sizeof FIRST);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	other = open(path, flags);
	CHECK(other >= 0 && !close(fd));
	return other;
}

static void *make_tmpfs(void)
{
	int fd = tmpfs_file(O_RDWR);
	void *at = mapped(fd, READ | WRITE, MAP_SHARED);

	close(fd);
	return at;
}

static void *make_read_only(void)
{
	return mapped(tmpfs_file(O_RDONLY), READ, MAP_SHARED);
}

static void *make_private(void)
{
	return mapped(tmpfs_file(O_RDWR), READ | WRITE, MAP_PRIVATE);
}

static const struct kind kinds[] = {
	{"anonymous", make_anonymous, READ | WRITE}, {"tmpfs", make_tmpfs, READ | WRITE},
	{"memfd", make_memfd, READ | WRITE},         {"read-only", make_read_only, READ},
	{"private", make_private, READ | WRITE},     {NULL, NULL, 0},
};

/* What DMA reads there; 0 where it reaches nothing. */
static uint32_t held_word(const struct interface *by)
{
	uint32_t word;

	by->copy(OWN + ZERO, OWN + RESULT);
	by->copy(HELD, OWN + RESULT);
	memcpy(&word, own + RESULT, sizeof word);
	return word;
}

/* Is `*expected` there? Then something else is written there, where that is allowed. */
static bool reaches(const struct interface *by, uint32_t *expected, int rights)
{
	const uint32_t next = *expected + 1;

	if (held_word(by) != *expected)
		return false;
	memcpy(own + NEW, &next, sizeof next);
	by->copy(OWN + NEW, HELD);
	if (rights & WRITE)
		*expected = next;
	CHECK(held_word(by) == *expected);
	return true;
}

static void own_memory(const struct interface *by, const struct kind *kind, int in, int out)
{
	char byte = 0;
	void *at = kind->make();

	by->begin();
	by->map(at, HELD, PAGE, kind->rights);
	CHECK(write(out, &byte, 1) == 1 && read(in, &byte, 1) == 1);
	CHECK(!munmap(at, PAGE));
	CHECK(write(out, &byte, 1) == 1 && read(in, &byte, 1) == 1);
	exit(0);
}

static void try(const struct interface *by, const struct kind *kind)
{
	const char *const stages[] = {"mapped", "unmapped", "exited"};
	uint32_t expected = FIRST;
	int to[2], from[2];
	char byte = 0;

	CHECK(!pipe(to) && !pipe(from));
	memset(own, 0, OWN_BYTES);
	by->open();
	fflush(stdout);
	pid_t child = fork();
	if (child == 0)
		own_memory(by, kind, to[0], from[1]);
	close(from[1]);
	printf("%s:", kind->name);
	for (int stage = 0; stage < 3; stage++) {
		if (stage < 2)
			CHECK(read(from[0], &byte, 1) == 1);
		else
			CHECK(waitpid(child, NULL, 0) == child);
		printf(" %s %s", stages[stage], reaches(by, &expected, kind->rights) ? "yes" : "no");
		if (stage < 2)
			CHECK(write(to[1], &byte, 1) == 1);
	}
	puts("");
	for (int i = 0; i < 3; i++)
		close((int[]){device, group, mapper}[i]);
}

int main(int argc, char **argv)
{
	const struct interface *by = interfaces;

	CHECK(argc == 2);
	while (strcmp(by->name, argv[1]) != 0)
		CHECK(++by < interfaces + 3);
	int fd = memfd_create("own", 0);
	CHECK(fd >= 0 && !ftruncate(fd, OWN_BYTES));
	own = mmap(NULL, OWN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(own != MAP_FAILED);
	for (const struct kind *kind = kinds; kind->name != NULL; kind++)
		try(by, kind);
	return 0;
}
