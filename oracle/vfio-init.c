/*
 * The first process of the guest with real vfio-pci: loads its modules, binds every device that is no bridge
 * to it, has the executor run /script, and switches off.
 *
 * Answers go out of the second serial port: there is no disk, and no driver is needed for it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"
#define ANSWERS "/dev/ttyS1"
#define BRIDGE 0x06

static const char *const modules[] = { "irqbypass", "vfio", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci" };

static void echo(const char *text, const char *path)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

static void load(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/mod/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		perror(path);
	close(fd);
}

static unsigned int base_class(const char *device)
{
	char path[512], text[16] = "";
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s/class", device);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		perror(path);
	close(fd);
	return strtoul(text, NULL, 0) >> 16;
}

static void bind_devices(void)
{
	struct dirent *each;
	DIR *devices = opendir(DEVICES);
	char path[512];

	while (devices && (each = readdir(devices))) {
		if (each->d_name[0] == '.' || base_class(each->d_name) == BRIDGE)
			continue;
		snprintf(path, sizeof(path), DEVICES "/%s/driver_override", each->d_name);
		echo("vfio-pci", path);
		snprintf(path, sizeof(path), DEVICES "/%s/driver/unbind", each->d_name);
		if (!access(path, W_OK))
			echo(each->d_name, path);
		echo(each->d_name, "/sys/bus/pci/drivers_probe");
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

int main(void)
{
	int fd, status;

	mount("none", "/dev", "devtmpfs", 0, "");
	mount("none", "/proc", "proc", 0, "");
	mount("none", "/sys", "sysfs", 0, "");
	fd = open("/dev/console", O_RDWR);
	for (int n = 0; n < 3; n++)
		dup2(fd, n);
	for (size_t n = 0; n < sizeof(modules) / sizeof(modules[0]); n++)
		load(modules[n]);
	bind_devices();
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
