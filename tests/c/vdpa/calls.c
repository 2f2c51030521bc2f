/* Ioctls before and after there is an owner; nothing is mapped, and no queue runs. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void probe_open(void)
{
	struct stat status;
	struct pollfd polled;
	uint8_t bytes[72];

	section = "open";
	reopen();
	fstat(fd, &status);
	fact("fstat", "", 0, "char=%d mode=%o", S_ISCHR(status.st_mode), status.st_mode & 07777);
	line("open", "second", open(path, O_RDWR), NULL, 0);
	line("open", "second, O_RDONLY", open(path, O_RDONLY), NULL, 0);
	polled = (struct pollfd){fd, POLLIN | POLLOUT | POLLERR, 0};
	line("poll", "IN|OUT timeout 0", poll(&polled, 1, 0), &polled.revents, 2);
	line("read", "64 bytes", read(fd, bytes, 64), NULL, 0);
	line("lseek", "0 SET", lseek(fd, 0, SEEK_SET), NULL, 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	line("fcntl O_NONBLOCK then read", "", read(fd, bytes, 72), NULL, 0);
}

static void device_info(void)
{
	uint64_t wide = 0;
	uint32_t word = 0;
	uint16_t half = 0;
	uint8_t byte = 0;
	struct vhost_vdpa_iova_range range = {1, 1};

	ASK(VHOST_VDPA_GET_DEVICE_ID, "", &word, 4);
	ASK(VHOST_VDPA_GET_STATUS, "", &byte, 1);
	ASK(VHOST_GET_FEATURES, "", &wide, 8);
	ASK(VHOST_GET_BACKEND_FEATURES, "", &wide, 8);
	ASK(VHOST_VDPA_GET_CONFIG_SIZE, "", &word, 4);
	ASK(VHOST_VDPA_GET_VRING_NUM, "", &half, 2);
	ASK(VHOST_VDPA_GET_IOVA_RANGE, "", &range, 16);
	ASK(VHOST_VDPA_GET_VQS_COUNT, "", &word, 4);
	ASK(VHOST_VDPA_GET_GROUP_NUM, "", &word, 4);
	ASK(VHOST_VDPA_GET_AS_NUM, "", &word, 4);
}

static void queue_info(void)
{
	for (int queue = 0; queue < 5; queue++)
		VRING(VHOST_VDPA_GET_VRING_GROUP, queue, 0xee);
	VRING(VHOST_VDPA_GET_VRING_DESC_GROUP, 0, 0xee);
	VRING(VHOST_VDPA_GET_VRING_SIZE, 0, 0xee);
	VRING(VHOST_GET_VRING_BASE, 0, 0xee);
}

/* Ioctls of other backends, of nobody, and without an argument. */
static void odd_ioctls(void)
{
	uint64_t zero = 0, many = 99;
	int none = -1;

	ASK(VHOST_SET_LOG_BASE, "0", &zero, 0);
	ASK(VHOST_SET_LOG_FD, "-1", &none, 0);
	ASK(VHOST_SET_MEM_TABLE, "nregions=0", &zero, 0);
	ASK(VHOST_RESET_OWNER, "", &zero, 0);
	ask("ioctl _IO(0xAF,0xEE)", "points to 0", _IO(0xAF, 0xEE), &zero, 0);
	ask("ioctl _IO(0xAF,0xEE)", "points to 99", _IO(0xAF, 0xEE), &many, 0);
	ask("ioctl TCGETS", "points to 0", 0x5401, &zero, 0);
	ask("ioctl VHOST_GET_FORK_FROM_OWNER 0x84", "", _IOR(0xAF, 0x84, uint8_t), &zero, 1);
	ask("ioctl VHOST_GET_FEATURES_ARRAY 0x83", "count=0", _IOR(0xAF, 0x83, uint64_t), &zero, 8);
	ASK(VHOST_SET_FEATURES, "NULL", NULL, 0);
	ASK(VHOST_VDPA_GET_STATUS, "NULL", NULL, 0);
}

static void probe_before_owner(void)
{
	int eventfd_ = eventfd(0, 0), none = -1, bad = 999;

	section = "before owner";
	device_info();
	get_config(0, net ? 24 : 60, true);
	queue_info();
	VRING(VHOST_SET_VRING_NUM, 0, 16);
	map(0, BASE, MEMORY_BYTES, memory);
	map(0, BASE, 0, memory);
	ASK(VHOST_VDPA_SUSPEND, "", NULL, 0);
	ASK(VHOST_VDPA_RESUME, "", NULL, 0);
	odd_ioctls();
	VRING_FILE(VHOST_SET_VRING_CALL, 0, -1, "-1");
	ASK(VHOST_VDPA_SET_CONFIG_CALL, "eventfd", &eventfd_, 0);
	ASK(VHOST_VDPA_SET_CONFIG_CALL, "-1", &none, 0);
	ASK(VHOST_VDPA_SET_CONFIG_CALL, "bad fd", &bad, 0);
	ASK(VHOST_VDPA_SET_CONFIG_CALL, "memfd", &memfd, 0);
	close(eventfd_);
}

static void probe_status(void)
{
	section = "status";
	set_status(1);
	set_status(3);
	set_status(1);
	set_status(0x0b);
	set_features(0x300000000);
	set_features(0);
	set_status(0);
	set_features(0);
	set_features(1ul << 33);
	set_features(~0ul);
	set_features(0x300000000);
	set_status(0x0b);
	set_status(0x0f);
	set_status(0x8f);
	set_status(0x0b);
	set_status(0);
	set_status(4);
	set_status(0x80);
	set_status(0x84);
	set_status(0);
}

static void probe_config(void)
{
	uint32_t size = net ? 24 : 96;

	section = "config";
	get_config(0, 0, false);
	get_config(0, 4096, false);
	get_config(size, 1, true);
	get_config(1000, 1, false);
	get_config(0xffffffff, 2, false);
	get_config(2, 3, true);
	get_config(0, size, true);
	get_config(size, 1, false);
	get_config(size - 1, 1, true);
	set_config(0, 0);
	set_config(size, 1);
	set_config(0, size + 1);
	set_config(0, 8);
	get_config(0, 12, true);
	set_status(0);
	get_config(0, 12, true);
}

static void take_ownership(void)
{
	_exit(ioctl(fd, VHOST_SET_OWNER, NULL) < 0 ? errno : 0);
}

static void ask_group(void)
{
	struct vhost_vring_state state = {0, 0};

	_exit(ioctl(fd, VHOST_VDPA_GET_VRING_GROUP, &state) < 0 ? errno : 0);
}

/* The result is the errno that the child has seen. */
static void in_child(const char *call, const char *arguments, void (*task)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0)
		task();
	waitpid(child, &status, 0);
	line(call, arguments, WEXITSTATUS(status), NULL, 0);
}

static void probe_owner(void)
{
	section = "owner";
	in_child("VHOST_SET_OWNER", "from a child first", take_ownership);
	own();
	map(0, BASE, MEMORY_BYTES, memory);
	VRING(VHOST_GET_VRING_BASE, 0, 0xee);
	reopen();
	own();
	own();
	in_child("VHOST_SET_OWNER", "from a child, second", take_ownership);
	in_child("VHOST_VDPA_GET_VRING_GROUP", "from a child, after owner: errno", ask_group);
}

static void addresses(const char *what, struct vhost_vring_addr given)
{
	ASK(VHOST_SET_VRING_ADDR, what, &given, 0);
}

static void probe_addresses(void)
{
	struct vhost_vring_addr given = {
		.flags = 2, .desc_user_addr = BASE, .avail_user_addr = BASE, .used_user_addr = BASE};

	addresses("flags=2", given);
	given.flags = 1;
	addresses("flags=LOG", given);
	given.flags = 0;
	given.avail_user_addr = BASE + 1;
	addresses("avail odd", given);
	given.avail_user_addr = BASE;
	given.used_user_addr = BASE + 2;
	addresses("used|2", given);
	given.used_user_addr = BASE;
	given.desc_user_addr = BASE + 8;
	addresses("desc|8", given);
	given.desc_user_addr = 0;
	addresses("desc=0 (unmapped)", given);
}

static void probe_sizes_and_bases(void)
{
	static const unsigned sizes[] = {0, 3, 1, 256, 512, 65536};

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
		VRING(VHOST_SET_VRING_NUM, 0, sizes[i]);
	VRING(VHOST_SET_VRING_NUM, 7, 16);
	VRING(VHOST_VDPA_GET_VRING_SIZE, 0, 0);
	VRING(VHOST_SET_VRING_BASE, 0, 5);
	VRING(VHOST_GET_VRING_BASE, 0, 0xee);
	VRING(VHOST_SET_VRING_BASE, 0, 65536);
	VRING(VHOST_SET_VRING_BASE, 0, 0);
	VRING(VHOST_VDPA_SET_VRING_ENABLE, 0, 0);
	VRING(VHOST_VDPA_SET_VRING_ENABLE, 0, 7);
	VRING(VHOST_VDPA_SET_VRING_ENABLE, 0, 0);
	VRING(VHOST_VDPA_SET_VRING_ENABLE, 9, 1);
}

static void probe_queues(void)
{
	section = "queues";
	queue_info();
	odd_ioctls();
	probe_sizes_and_bases();
	probe_addresses();
	VRING_FILE(VHOST_SET_VRING_KICK, 0, -1, "-1");
	VRING_FILE(VHOST_SET_VRING_KICK, 0, 999, "bad");
	VRING_FILE(VHOST_SET_VRING_KICK, 0, memfd, "memfd");
	VRING_FILE(VHOST_SET_VRING_CALL, 0, -1, "-1");
	VRING_FILE(VHOST_SET_VRING_CALL, 0, 999, "bad");
	VRING_FILE(VHOST_SET_VRING_CALL, 0, memfd, "memfd");
	VRING_FILE(VHOST_SET_VRING_ERR, 0, -1, "-1");
	VRING_FILE(VHOST_SET_VRING_CALL, 9, -1, "-1");
	VRING(VHOST_SET_VRING_BUSYLOOP_TIMEOUT, 0, 5);
	VRING(VHOST_GET_VRING_BUSYLOOP_TIMEOUT, 0, 0xee);
	VRING(VHOST_GET_VRING_ENDIAN, 0, 0xee);
}

static void probe_groups(void)
{
	static const unsigned pairs[][2] = {{0, 0}, {0, 1}, {1, 1}, {1, 0}, {0, 2}, {2, 0}, {3, 0}, {0, 0}};

	section = "groups";
	for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++)
		VRING(VHOST_VDPA_SET_GROUP_ASID, pairs[i][0], pairs[i][1]);
}

static void probe_backend_features(void)
{
	static const uint64_t features[] = {0,    1,    2,	    8,	       16,    32,    64,
					    0x80, 0x88, 0x100, 0x200, 1ul << 63, 0x13e, 0x17e, 0};

	section = "backend features";
	for (unsigned i = 0; i < sizeof features / sizeof *features; i++)
		set_backend_features(features[i]);
}

static void try_mmap(const char *what, size_t length, int protection, int flags)
{
	void *at = mmap(NULL, length, protection, flags, fd, 0);

	line("mmap", what, at == MAP_FAILED ? -1 : 0, NULL, 0);
	if (at != MAP_FAILED)
		munmap(at, length);
}

void probe_calls(void)
{
	probe_open();
	probe_before_owner();
	probe_status();
	probe_config();
	probe_owner();
	probe_queues();
	probe_groups();
	probe_backend_features();
	section = "mmap";
	try_mmap("4096 WRITE SHARED off 0", 4096, PROT_WRITE, MAP_SHARED);
	try_mmap("4096 READ SHARED", 4096, PROT_READ, MAP_SHARED);
	try_mmap("4096 WRITE PRIVATE", 4096, PROT_WRITE, MAP_PRIVATE);
	try_mmap("8192 WRITE SHARED", 8192, PROT_WRITE, MAP_SHARED);
}
