/** All that a machine has below /sys: folders by their paths, none of which is in another. */
import type { IdxdDevice } from '../idxd/device.js';
import type { VfioGroup } from '../vfio/group.js';
import { comingFolder } from './bus-device.js';
import { DsaBus } from './dsa-bus.js';
import { moduleFolder, type SysfsFolder, VfioDevices } from './vfio-devices.js';

export function sysfsFolders(
  groups: readonly VfioGroup[],
  idxd: readonly IdxdDevice[],
): readonly SysfsFolder[] {
  const vfio = new VfioDevices(groups);
  const numbers = comingFolder(() => vfio.files().map(({ number, link }) => [number, link]));
  return [
    ...vfio.folders(),
    ...(idxd.length > 0 ? [...new DsaBus(idxd).folders(), moduleFolder('idxd', 'sva', 'Y')] : []),
    ...(groups.length > 0 ? [['dev/char', numbers] as const] : []),
  ];
}
