/*
 * A module for guests behind an Intel IOMMU of QEMU's, which hands the tables of PASIDs to iommufd, but says
 * neither that it snoops the processors' caches on its way through them (ECAP.SMPWC) nor lets PRI be enabled:
 * so the kernel's driver has no shared virtual addressing there. It is told to have it, and that the DSA
 * faults in its own way. Nothing else of the kernel is touched.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include "iommu.h"

#define DSA 0x0b25

static int __init begin(void)
{
	struct pci_dev *function = pci_get_device(PCI_VENDOR_ID_INTEL, DSA, NULL);
	struct device_domain_info *info;

	if (!function || !function->dev.iommu || !function->dev.iommu->iommu_dev)
		return -ENODEV;
	info = dev_iommu_priv_get(&function->dev);
	info->iommu->flags |= VTD_FLAG_SVM_CAPABLE;
	info->pri_supported = 0;
	pci_dev_put(function);
	return 0;
}

static void __exit end(void)
{
}

module_init(begin);
module_exit(end);
MODULE_DESCRIPTION("Shared virtual addressing behind QEMU's Intel IOMMU");
MODULE_LICENSE("Dual MIT/GPL");
