/**
 * The devices of VFIO in sysfs: those on the buses `pci` and `mdev` with their drivers, their groups and
 * their files, and the kernel's modules of VFIO.
 *
 * These folders have the machine's own devices only. What the host has at the same places is put beside it by
 * who shows them to programs.
 */
import { type Attribute, type Entry, type Folder, folderOf } from '../file/attributes.js';
import { type Work, workOf } from '../file/work.js';
import type { VfioGroup } from '../vfio/group.js';
import { DMA_ENTRY_LIMIT } from '../vfio/type1-container.js';
import { Bus } from './bus.js';
import { type BusDevice, comingFolder, functionPath, type SysfsFolder } from './bus-device.js';
import type { ClassDevice } from './class-device.js';
import { DynamicIds } from './dynamic-ids.js';
import { PciAddresses } from './pci-addresses.js';
import { uevent } from './uevent.js';
import { shown } from './values.js';
import { IOMMU_PATH, VfioFunction } from './vfio-function.js';

/** The parameters of modules that programs go by. */
const modules: readonly Parameters<typeof moduleFolder>[] = [
  ['vfio', 'enable_unsafe_noiommu_mode', 'N'],
  ['vfio_pci', 'nointxmask', 'N', ['pci', 'vfio-pci']],
  ['vfio_iommu_type1', 'dma_entry_limit', DMA_ENTRY_LIMIT],
];

export class VfioDevices {
  readonly #functions: readonly VfioFunction[];
  readonly #ids = new DynamicIds();

  constructor(groups: readonly VfioGroup[]) {
    const addresses = new PciAddresses();
    this.#functions = groups.map((group) => new VfioFunction(group, addresses, this.#ids));
  }

  /** Its folders, by their paths. */
  folders(): readonly SysfsFolder[] {
    if (this.#functions.length === 0) return [];
    const whole = this.#functions.filter(({ group }) => !group.device.life.mediated);
    const mediated = this.#functions.filter(({ group }) => group.device.life.mediated);
    return [
      ...modules.map((module) => moduleFolder(...module)),
      ...this.#functions.map(({ groupPath, groupFolder }) => [groupPath, groupFolder] as const),
      ...(whole.length > 0
        ? [
            pciBus(
              whole.map(({ device }) => device),
              this.#ids,
            ),
          ]
        : []),
      ...whole.map(({ group, device }) => [functionPath(group.device.life.rid), device.folder] as const),
      ...(mediated.length > 0 ? mdevBus(mediated) : []),
      ...iommu(whole.map(({ device }) => device)),
      ['class/vfio-dev', comingFolder(() => this.files().map(({ name, link }) => [name, link]))],
    ];
  }

  /** The device files that there are now. */
  files(): ClassDevice[] {
    return this.#functions.flatMap(({ file, hasFile }) => (hasFile ? file : []));
  }
}

/** A module with one of its parameters, and the driver of a bus that it brings, if it does. */
export function moduleFolder(
  module: string,
  parameter: string,
  value: string | number,
  driver?: readonly [bus: string, driver: string],
): SysfsFolder {
  const parameters = folderOf([[parameter, shown(() => value)]]);
  const drivers = (bus: string, name: string) =>
    folderOf([[`${bus}:${name}`, { kind: 'link', target: `../../../bus/${bus}/drivers/${name}` }]]);
  const rest = driver === undefined ? [] : [['drivers', drivers(...driver)] as const];
  return [`module/${module}`, folderOf([['parameters', parameters], ...rest])];
}

function pciBus(devices: readonly BusDevice[], ids: DynamicIds): SysfsFolder {
  const bus = new Bus(() => devices);
  const newId: Attribute = {
    kind: 'attribute',
    store: (text) => {
      ids.add(text);
      return probe(devices);
    },
  };
  const removeId: Attribute = { kind: 'attribute', store: (text) => ids.remove(text) };
  const probeNamed: Attribute = { kind: 'attribute', store: (text) => probe([bus.named(text)]) };
  const driver: [string, Entry][] = [
    ['module', { kind: 'link', target: '../../../../module/vfio_pci' }],
    ['new_id', newId],
    ['remove_id', removeId],
  ];
  const own: [string, Attribute][] = [
    ['drivers_probe', probeNamed],
    ['drivers_autoprobe', autoprobe()],
  ];
  return ['bus/pci', bus.folder([['vfio-pci', driver]], own)];
}

/** Those of `devices` that have no driver get one that matches. */
function* probe(devices: readonly BusDevice[]): Work<void> {
  for (const { binding } of devices)
    if (binding?.isBound() === false && binding.matches?.() === true) yield* workOf(binding.bind());
}

/** It is for devices that come, and none do: what is written is kept. */
function autoprobe(): Attribute {
  let on = true;
  return {
    ...shown(() => Number(on)),
    mode: 0o644,
    store: (text) => {
      on = !text.startsWith('0');
    },
  };
}

/** The IOMMU in front of all functions, which are linked to it. */
function iommu(devices: readonly BusDevice[]): SysfsFolder[] {
  const links = devices.map(
    ({ name, path }) => [name, { kind: 'link', target: `../../../${path}` }] as const,
  );
  const folder = folderOf([
    ['devices', folderOf(links)],
    ['subsystem', { kind: 'link', target: '../../class/iommu' }],
    ['uevent', uevent(() => [])],
  ]);
  const link = { kind: 'link', target: `../../${IOMMU_PATH}` } as const;
  return [
    [IOMMU_PATH, folder],
    ['class/iommu', folderOf([['dmar0', link]])],
  ];
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
