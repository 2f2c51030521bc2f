/** All that a machine has below /sys: folders by their paths, none of which is in another. */
import type { IdxdDevice } from '../idxd/device.js';
import type { VdpaDevice } from '../vdpa/device.js';
import type { VfioGroup } from '../vfio/group.js';
import { comingFolder, type SysfsFolder } from './bus-device.js';
import { DsaBus } from './dsa-bus.js';
import { VdpaBus } from './vdpa-bus.js';
import { moduleFolder, VfioDevices } from './vfio-devices.js';

/** What the folders are of. */
export interface SysfsObjects {
  readonly groups: readonly VfioGroup[];
  readonly vdpa: readonly VdpaDevice[];
  readonly idxd: readonly IdxdDevice[];
}

export function sysfsFolders({ groups, vdpa, idxd }: SysfsObjects): readonly SysfsFolder[] {
  const [vfio, vdpaBus] = [new VfioDevices(groups), new VdpaBus(vdpa)];
  const files = () => [...vfio.files(), ...vdpaBus.files];
  const numbers = comingFolder(() => files().map(({ number, link }) => [number, link]));
  return [
    ...vfio.folders(),
    ...vdpaBus.folders(),
    ...(idxd.length > 0 ? [...new DsaBus(idxd).folders(), moduleFolder('idxd', 'sva', 'Y')] : []),
    ...(groups.length + vdpa.length > 0 ? [['dev/char', numbers] as const] : []),
  ];
}
