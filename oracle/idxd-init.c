/* The first process of the guest with real idxd: loads it, and what stands in for what QEMU lacks. */
#include "guest.h"

static const char *const modules[] = { "iommu-svm", "movdir64b", "idxd_bus", "idxd" };

int main(void)
{
	begin_guest();
	load_modules(modules, sizeof(modules) / sizeof(modules[0]));
	return end_guest();
}
