/** Attaching a device by its own file. Binding is tested with `--bind-first`, and by rules of conformance. */
import { test } from 'node:test';
import { withoutPasids } from '../testkit/fake-model.js';
import { refused } from '../testkit/refused.js';
import { type VfioFileOptions, vfioFile } from '../testkit/vfio-file.js';
import { ATTACH_PASID, cdevIoctls, VFIO_DEVICE_ATTACH_IOMMUFD_PT } from './vfio-cdev.js';

test('a mediated device can be asked to attach PASIDs when it has some, a whole function always', () => {
  const attach = (options: VfioFileOptions) => () =>
    vfioFile({ ...options, table: cdevIoctls }).ioctl(VFIO_DEVICE_ATTACH_IOMMUFD_PT, 16, ATTACH_PASID, 1, 5);
  refused(attach({ mediated: true, mdevPci: withoutPasids }), 'EOPNOTSUPP', /mediated/);
  for (const asked of [attach({ mediated: true }), attach({ pci: withoutPasids })])
    refused(asked, 'EINVAL', /not bound/);
});
