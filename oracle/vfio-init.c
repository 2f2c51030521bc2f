/* The first process of the guest with real vfio-pci, to which it binds every device that is no bridge. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "guest.h"

#define DEVICES "/sys/bus/pci/devices"
#define BRIDGE 0x06

static const char *const modules[] = { "irqbypass", "vfio", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci" };

static void echo(const char *text, const char *path)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
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

int main(void)
{
	begin_guest();
	load_modules(modules, sizeof(modules) / sizeof(modules[0]));
	bind_devices();
	return end_guest();
}
