/*
 * The oracle's first process: mounts what a program expects, runs the executor on
 * the script of the work directory, keeps the kernel's log and switches off.
 *
 * The kernel command line names the work directory on the host (`work=/path`); it holds
 * `script` and gets `out` and `log`. The root itself is never written to, so
 * any number of oracles can share it.
 *
 * Two mediated devices are there: vfio0 and vfio1, in groups 1 and 2.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSLOG_ACTION_READ_ALL 3
#define LOG_BYTES (1 << 18)

#define MDEV_TYPE "/sys/class/mdev_bus/mdpy/mdev_supported_types/mdpy-vga/create"

static char log_text[LOG_BYTES];

static void keep_log(void)
{
	int length = klogctl(SYSLOG_ACTION_READ_ALL, log_text, sizeof(log_text));
	int fd = open("/tmp/log", O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd >= 0 && length > 0 && write(fd, log_text, length) != length)
		perror("log");
	if (fd >= 0)
		close(fd);
}

/* A mediated device by the name `uuid`. */
static void make_mdev(const char *uuid)
{
	int fd = open(MDEV_TYPE, O_WRONLY);

	if (fd < 0 || write(fd, uuid, strlen(uuid)) < 0)
		perror("mdev");
	if (fd >= 0)
		close(fd);
}

/* The kernel numbers groups from 0 on; whoever compares does it from 1 on. */
static void make_mdevs(void)
{
	make_mdev("00000000-0000-0000-0000-000000000000");
	make_mdev("00000000-0000-0000-0000-000000000001");
	if (rename("/dev/vfio/1", "/dev/vfio/2") || rename("/dev/vfio/0", "/dev/vfio/1"))
		perror("groups");
}

int main(void)
{
	/* An unknown `name=value` on the command line arrives in the environment. */
	const char *work = getenv("work");
	pid_t child;

	mount("none", "/dev", "devtmpfs", 0, "");
	mount("none", "/proc", "proc", 0, "");
	mount("none", "/sys", "sysfs", 0, "");
	mount("none", "/sys/kernel/debug", "debugfs", 0, "");
	make_mdevs();
	if (work && mount("none", "/tmp", "hostfs", 0, work) == 0) {
		child = fork();
		if (child == 0) {
			execl("/executor", "executor", "/tmp/script", "/tmp/out", NULL);
			_exit(127);
		}
		waitpid(child, NULL, 0);
		keep_log();
	}
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
