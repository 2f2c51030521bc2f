/**
 * The devices of VFIO in sysfs: functions for the bus `pci`, mediated devices on the bus `mdev`, their groups
 * and their files, and the kernel's modules of VFIO.
 */
import { type Folder, folderOf } from '../file/attributes.js';
import { DMA_ENTRY_LIMIT, type VfioGroup } from '../vfio/group.js';
import { type BusDevice, comingFolder, functionPath, type SysfsFolder } from './bus-device.js';
import type { ClassDevice } from './class-device.js';
import { DynamicIds } from './dynamic-ids.js';
import { moduleFolder } from './modules.js';
import type { PciAddresses } from './pci-addresses.js';
import { VfioFunction } from './vfio-function.js';

/** The parameters of modules that programs go by. */
const modules: readonly Parameters<typeof moduleFolder>[] = [
  ['vfio', 'enable_unsafe_noiommu_mode', 'N'],
  ['vfio_pci', 'nointxmask', 'N', ['pci', 'vfio-pci']],
  ['vfio_iommu_type1', 'dma_entry_limit', DMA_ENTRY_LIMIT],
];

export class VfioDevices {
  /** Those that vfio-pci is told to take. */
  readonly ids = new DynamicIds();
  readonly #functions: readonly VfioFunction[];

  constructor(groups: readonly VfioGroup[], addresses: PciAddresses) {
    this.#functions = groups.map((group) => new VfioFunction(group, addresses, this.ids));
  }

  /** Those that are whole functions. */
  get functions(): BusDevice[] {
    return this.#functions.flatMap(({ group, device }) => (group.device.life.mediated ? [] : device));
  }

  /** Its folders, by their paths, but for those of functions. */
  folders(): readonly SysfsFolder[] {
    if (this.#functions.length === 0) return [];
    const mediated = this.#functions.filter(({ group }) => group.device.life.mediated);
    return [
      ...modules.map((module) => moduleFolder(...module)),
      ...this.#functions.map(({ iommuGroup }) => iommuGroup.folder),
      ...(mediated.length > 0 ? mdevBus(mediated) : []),
      ['class/vfio-dev', comingFolder(() => this.files().map(({ name, link }) => [name, link]))],
    ];
  }

  /** The device files that there are now. */
  files(): ClassDevice[] {
    return this.#functions.flatMap(({ file, hasFile }) => (hasFile ? file : []));
  }
}

/** The bus, and the functions that mediated devices are below. */
function mdevBus(functions: readonly VfioFunction[]): SysfsFolder[] {
  const devices = functions.map(({ device }) => device);
  const parents = new Map<string, (readonly [string, Folder])[]>();
  for (const { group, device } of functions) {
    const path = functionPath(group.device.life.rid);
    parents.set(path, [...(parents.get(path) ?? []), [device.name, device.folder]]);
  }
  const folders = [...parents].map(([path, children]) => [path, folderOf(children)] as const);
  return [['bus/mdev', folderOf([['devices', linksOf(devices)]])], ...folders];
}

function linksOf(devices: readonly BusDevice[]): Folder {
  return folderOf(devices.map(({ name, fromBus }) => [name, fromBus]));
}
