/** All that a machine has below /sys: folders by their paths, none of which is in another. */
import type { IdxdDevice } from '../idxd/device.js';
import type { VdpaDevice } from '../vdpa/device.js';
import type { VfioGroup } from '../vfio/group.js';
import { type BusDevice, comingFolder, type SysfsFolder } from './bus-device.js';
import { DsaBus } from './dsa-bus.js';
import { IdxdFunction } from './idxd-function.js';
import { moduleFolder } from './modules.js';
import { PciAddresses } from './pci-addresses.js';
import { iommu, pciBus } from './pci-bus.js';
import { VdpaBus } from './vdpa-bus.js';
import { VfioDevices } from './vfio-devices.js';

/** What the folders are of. */
export interface SysfsObjects {
  readonly groups: readonly VfioGroup[];
  readonly vdpa: readonly VdpaDevice[];
  readonly idxd: readonly IdxdDevice[];
}

export function sysfsFolders({ groups, vdpa, idxd }: SysfsObjects): readonly SysfsFolder[] {
  const addresses = new PciAddresses();
  const [vfio, vdpaBus, dsaBus] = [new VfioDevices(groups, addresses), new VdpaBus(vdpa), new DsaBus(idxd)];
  // Groups are numbered from 1 on.
  const owned = dsaBus.devices.map(
    (dsa, n) => new IdxdFunction(idxd[n]!, groups.length + n + 1, dsa, addresses),
  );
  const functions = [...vfio.functions, ...owned.map(({ device }) => device)];
  const files = () => [...vfio.files(), ...vdpaBus.files];
  const numbers = comingFolder(() => files().map(({ number, link }) => [number, link]));
  return [
    ...vfio.folders(),
    ...vdpaBus.folders(),
    ...(idxd.length > 0 ? [dsaBus.folder, moduleFolder('idxd', 'sva', 'Y', ['pci', 'idxd'])] : []),
    ...owned.map(({ group }) => group.folder),
    ...functionFolders(functions, vfio),
    ...(groups.length + idxd.length > 0 ? iommu(functions) : []),
    ...(groups.length + vdpa.length > 0 ? [['dev/char', numbers] as const] : []),
  ];
}

/** The functions, and the bus that they are on, if there are any. */
function functionFolders(functions: readonly BusDevice[], { ids }: VfioDevices): SysfsFolder[] {
  if (functions.length === 0) return [];
  return [pciBus(functions, ids), ...functions.map(({ path, folder }) => [path, folder] as const)];
}
