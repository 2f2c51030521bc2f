/*
 * The first process of a Linux that runs as an ordinary program, on a disk of ours. What it
 * does is named on the kernel's command line:
 *
 *   part=verify    mounts the file system on the disk, writes a file, reads it again and compares
 *   part=records   writes numbered records from the start of the disk on, and says which are flushed
 *
 * Each step is told on the console. `passed` is the last line, or the step that went wrong; then
 * it switches off. On the host the same program tells whether a file has the records up to a
 * number: `init check FILE NUMBER`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK "/dev/nvme0n1"
#define FILE_NAME "/mnt/verified"
#define BLOCK 65536
#define BLOCKS 128
#define SECONDS 10
#define RECORD 4096

static uint64_t block[BLOCK / 8] __attribute__((aligned(4096)));

static void switch_off(void)
{
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
}

static void stop(const char *step)
{
	printf("failed: %s: %s\n", step, strerror(errno));
	switch_off();
	exit(1);
}

/* Every block has its own content, and every word of it. */
static uint64_t word(uint64_t n, uint64_t i)
{
	return (n << 32 | i) * 0x9e3779b97f4a7c15u;
}

static void fill(uint64_t n, size_t length)
{
	for (uint64_t i = 0; i < length / 8; i++)
		block[i] = word(n, i);
}

static int is_filled(uint64_t n, size_t length)
{
	for (uint64_t i = 0; i < length / 8; i++)
		if (block[i] != word(n, i))
			return 0;
	return 1;
}

/* The driver probes its devices beside us. */
static void find_disk(void)
{
	uint64_t size = 0;
	int fd = -1;

	for (int i = 0; i < SECONDS * 1000 && fd < 0; i++) {
		fd = open(DISK, O_RDONLY);
		if (fd < 0)
			usleep(1000);
	}
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) != 0)
		stop("find " DISK);
	close(fd);
	printf("found %s of %llu MiB\n", DISK, (unsigned long long)(size >> 20));
}

static void write_file(void)
{
	int fd = open(FILE_NAME, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		stop("create " FILE_NAME);
	for (uint64_t n = 0; n < BLOCKS; n++) {
		fill(n, BLOCK);
		if (write(fd, block, BLOCK) != BLOCK)
			stop("write");
	}
	if (fsync(fd) != 0 || close(fd) != 0)
		stop("fsync");
}

static void read_file(void)
{
	int fd = open(FILE_NAME, O_RDONLY | O_DIRECT);

	if (fd < 0)
		stop("open " FILE_NAME);
	for (uint64_t n = 0; n < BLOCKS; n++) {
		memset(block, 0, BLOCK);
		if (read(fd, block, BLOCK) != BLOCK)
			stop("read");
		if (!is_filled(n, BLOCK)) {
			errno = EILSEQ;
			stop("compare");
		}
	}
	close(fd);
}

static void verify(void)
{
	if (mount(DISK, "/mnt", "ext4", 0, "") != 0)
		stop("mount");
	write_file();
	if (umount("/mnt") != 0 || mount(DISK, "/mnt", "ext4", 0, "") != 0)
		stop("mount again");
	read_file();
	if (umount("/mnt") != 0)
		stop("umount");
	printf("wrote, read and compared %d MiB\n", BLOCK / 1024 * BLOCKS / 1024);
}

static void write_records(void)
{
	int fd = open(DISK, O_WRONLY | O_DIRECT);

	if (fd < 0)
		stop("open " DISK);
	for (uint64_t n = 0;; n++) {
		fill(n, RECORD);
		if (pwrite(fd, block, RECORD, n * RECORD) != RECORD)
			break;
		if (fsync(fd) != 0)
			stop("fsync");
		printf("flushed %llu.\n", (unsigned long long)n);
	}
	if (errno != ENOSPC)
		stop("pwrite");
}

/* Has `path` all records up to `last`? */
static int check(const char *path, uint64_t last)
{
	int fd = open(path, O_RDONLY);

	for (uint64_t n = 0; n <= last; n++)
		if (pread(fd, block, RECORD, n * RECORD) != RECORD || !is_filled(n, RECORD)) {
			printf("record %llu of %llu is not on the disk\n", (unsigned long long)n,
			       (unsigned long long)last);
			return 1;
		}
	return 0;
}

int main(int argc, char **argv)
{
	/* An unknown `name=value` on the command line arrives in the environment. */
	const char *part = getenv("part");

	if (argc == 4 && strcmp(argv[1], "check") == 0)
		return check(argv[2], strtoull(argv[3], NULL, 10));
	setvbuf(stdout, NULL, _IOLBF, 0);
	mount("none", "/dev", "devtmpfs", 0, "");
	find_disk();
	if (part && strcmp(part, "records") == 0)
		write_records();
	else
		verify();
	printf("passed\n");
	switch_off();
	return 1;
}
