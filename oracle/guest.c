/*
 * What the first processes of guests share.
 *
 * Answers go out of the second serial port: there is no disk, and no driver is needed for it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "guest.h"

#define ANSWERS "/dev/ttyS1"

void begin_guest(void)
{
	int fd;

	mount("none", "/dev", "devtmpfs", 0, "");
	mount("none", "/proc", "proc", 0, "");
	mount("none", "/sys", "sysfs", 0, "");
	fd = open("/dev/console", O_RDWR);
	for (int n = 0; n < 3; n++)
		dup2(fd, n);
}

void load_modules(const char *const *names, size_t count)
{
	char path[64];
	int fd;

	for (size_t n = 0; n < count; n++) {
		snprintf(path, sizeof(path), "/mod/%s.ko", names[n]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
			perror(path);
		close(fd);
	}
}

/* As the answers are written, and without an echo. */
static void make_raw(const char *path)
{
	struct termios mode;
	int fd = open(path, O_RDWR | O_NOCTTY);

	if (fd < 0 || tcgetattr(fd, &mode)) {
		perror(path);
		return;
	}
	cfmakeraw(&mode);
	cfsetspeed(&mode, B115200);
	tcsetattr(fd, TCSANOW, &mode);
	/* It stays open: a port that nobody has open drops what it has not sent yet. */
}

int end_guest(void)
{
	int fd, status;

	make_raw(ANSWERS);
	if (!fork()) {
		execl("/executor", "executor", "/script", ANSWERS, NULL);
		_exit(127);
	}
	wait(&status);
	fd = open(ANSWERS, O_WRONLY | O_NOCTTY);
	tcdrain(fd);
	reboot(RB_POWER_OFF);
	return 1;
}
