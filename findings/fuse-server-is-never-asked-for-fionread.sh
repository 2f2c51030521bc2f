#!/bin/sh
# A FUSE server that serves ioctls is not asked for FIONREAD ("how many bytes can be read now?"): the kernel
# answers from the size that the file has by its attributes, for a file without one 0, whatever the server
# has.
#
# A good guess is that a server with an ioctl operation sees every ioctl that the kernel has no use for
# itself, as a character device's driver does; that is how FIONREAD of a terminal, a pipe or an event device
# works. But the nodes that FUSE passes on ioctls of are regular files, and for these Linux has its own
# answers (FIONREAD, FIBMAP, FIGETBSZ and others), given before a filesystem's ioctl is looked for. So a
# stream or a queue that is served by FUSE cannot tell how much it holds: a program that asks first and
# reads then reads nothing, though poll says that there is something.
#
# Seen with Linux 6.18, the protocol spoken directly on /dev/fuse, in a mount namespace of its own. Prints
# what was asked and answered; fails when it is otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >serve.c <<'C'
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELD 42 /* what the server has, and says when it is asked */

static char request[1 << 17];

static void answer(int device, int error, const void *body, size_t size)
{
	struct fuse_in_header *in = (struct fuse_in_header *)request;
	char reply[512];
	struct fuse_out_header out = {.len = sizeof(out) + size, .error = error, .unique = in->unique};

	memcpy(reply, &out, sizeof(out));
	memcpy(reply + sizeof(out), body, size);
	if (write(device, reply, out.len) < 0)
		perror("answer");
}

static struct fuse_attr attributes(uint64_t node)
{
	return (struct fuse_attr){.ino = node, .nlink = 1, .mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0666};
}

static void serve(int device)
{
	struct fuse_in_header *in = (struct fuse_in_header *)request;

	while (read(device, request, sizeof(request)) > 0) {
		struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 65536};
		struct fuse_entry_out entry = {.nodeid = 2, .attr = attributes(2)};
		struct fuse_attr_out attr = {.attr = attributes(in->nodeid)};
		struct fuse_open_out open = {.open_flags = FOPEN_DIRECT_IO};
		struct { struct fuse_ioctl_out head; int held; } held = {.held = HELD};
		struct fuse_ioctl_in *call = (struct fuse_ioctl_in *)(in + 1);

		switch (in->opcode) {
		case FUSE_INIT: answer(device, 0, &init, sizeof(init)); break;
		case FUSE_LOOKUP: answer(device, 0, &entry, sizeof(entry)); break;
		case FUSE_GETATTR: answer(device, 0, &attr, sizeof(attr)); break;
		case FUSE_OPEN: answer(device, 0, &open, sizeof(open)); break;
		case FUSE_IOCTL:
			printf("the server is asked for ioctl 0x%x\n", call->cmd);
			fflush(stdout);
			answer(device, 0, &held, sizeof(held));
			break;
		case FUSE_FORGET: case FUSE_BATCH_FORGET: case FUSE_INTERRUPT: break;
		default: answer(device, -38, "", 0);
		}
	}
}

int main(void)
{
	char options[128];
	struct utsname system;
	int count = -1, own = -1, file, device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	pid_t server;

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	if (device < 0 || mount("test", "mnt", "fuse", 0, options))
		return perror("mount"), 1;
	server = fork();
	if (!server)
		return serve(device), 0;
	close(device);
	file = open("mnt/stream", O_RDWR);
	if (ioctl(file, _IOR('x', 1, int), &own) || ioctl(file, FIONREAD, &count))
		perror("ioctl");
	close(file);
	umount("mnt");
	waitpid(server, NULL, 0);
	uname(&system);
	printf("Linux %.4s: an ioctl of our own: %d; FIONREAD (0x%x): %d\n", system.release, own, FIONREAD, count);
	return own == HELD && count == 0 ? 0 : 1;
}
C
gcc -O1 -Wall -o serve serve.c
mkdir mnt
timeout 60 unshare --map-root-user --mount ./serve
