/** Hot resets: there are none here, but who asks wrongly is told so, as by vfio-pci. */
import { describe, it } from 'node:test';
import { refused } from '../testkit/refused.js';
import { vfioFile } from '../testkit/vfio-file.js';
import { vfioIoctls } from './vfio.js';
import { cdevIoctls } from './vfio-cdev.js';
import { groupedIoctls } from './vfio-group.js';
import { VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_DEVICE_PCI_HOT_RESET } from './vfio-hot-reset.js';

const byCdev = { table: new Map([...vfioIoctls, ...cdevIoctls]) };
const byGroup = { table: groupedIoctls };

describe('hot reset', () => {
  it('of a well-formed request is ENODEV: there is neither bus nor slot', () => {
    for (const table of [byCdev, byGroup]) {
      const { ioctl } = vfioFile(table);
      refused(() => ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 12, 0, 0), 'ENODEV');
      refused(() => ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 11, 0, 0), 'EINVAL');
      refused(() => ioctl(VFIO_DEVICE_PCI_HOT_RESET, 11, 0, 0), 'EINVAL');
      refused(() => ioctl(VFIO_DEVICE_PCI_HOT_RESET, 16, 1, 1, 5), 'EINVAL', /flags 0x1/);
    }
  });

  it('names groups when the device was opened through its group, and none otherwise', () => {
    const [cdev, group] = [vfioFile(byCdev), vfioFile(byGroup)];
    refused(() => group.ioctl(VFIO_DEVICE_PCI_HOT_RESET, 12, 0, 0), 'EINVAL', /has to be named/);
    refused(() => group.ioctl(VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, 5), 'ENODEV');
    refused(() => cdev.ioctl(VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, 5), 'EINVAL', /takes no 1 groups/);
    refused(() => cdev.ioctl(VFIO_DEVICE_PCI_HOT_RESET, 12, 0, 0), 'ENODEV');
  });

  it('of a mediated device is unknown', () => {
    const { ioctl } = vfioFile({ ...byCdev, mediated: true });
    refused(() => ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 12, 0, 0), 'ENOTTY');
    refused(() => ioctl(VFIO_DEVICE_PCI_HOT_RESET, 12, 0, 0), 'ENOTTY');
  });
});
