/** What an open of /dev/vfio/vfio stands for: a container of its own. */
import type { Caller, OpenFile } from '../file/open-file.js';
import type { Iommu } from '../iommu/iommu.js';
import { DeviceFile } from '../uapi/device-file.js';
import { checkReady, type1Table } from '../uapi/type1-container.js';
import type { IotlbLimits } from '../vdpa/iotlb.js';
import { Type1Container } from '../vfio/type1-container.js';

export function openType1(iommu: Iommu, limits: IotlbLimits, caller: Caller): OpenFile {
  const container = new Type1Container(iommu, limits, caller.payer);
  return new DeviceFile(container, type1Table, {
    check: (cmd) => checkReady(container, cmd),
    // What it has goes with its groups.
    release: () => {},
  });
}
