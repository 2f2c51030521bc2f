/**
 * The bus `pci` in sysfs: all PCI functions, whoever has them, with the drivers `vfio-pci` and `idxd`; and
 * the IOMMU in front of them.
 *
 * These folders have the machine's own devices only. What the host has at the same places is put beside it by
 * who shows them to programs.
 */
import { type Attribute, type Entry, folderOf } from '../file/attributes.js';
import { type Work, workOf } from '../file/work.js';
import { Bus } from './bus.js';
import type { BusDevice, SysfsFolder } from './bus-device.js';
import type { DynamicIds } from './dynamic-ids.js';
import { IOMMU_PATH } from './pci-function.js';
import { uevent } from './uevent.js';
import { shown } from './values.js';

const VFIO_PCI = 'vfio-pci';

/** `ids` are those that vfio-pci is told to take. A driver is there when it has come for one of `devices`. */
export function pciBus(devices: readonly BusDevice[], ids: DynamicIds): SysfsFolder {
  const bus = new Bus(() => devices);
  const names = new Set(devices.flatMap(({ binding }) => binding?.driver ?? []));
  const drivers = [...names].map((driver) => {
    const rest = driver === VFIO_PCI ? idAttributes(ids, devices) : [];
    return [driver, [moduleLink(driver), ...rest]] as const;
  });
  const probeNamed: Attribute = { kind: 'attribute', store: (text) => probe([bus.named(text)]) };
  const own: [string, Attribute][] = [
    ['drivers_probe', probeNamed],
    ['drivers_autoprobe', autoprobe()],
  ];
  return ['bus/pci', bus.folder(drivers, own)];
}

function idAttributes(ids: DynamicIds, devices: readonly BusDevice[]): [string, Attribute][] {
  const newId: Attribute = {
    kind: 'attribute',
    store: (text) => {
      ids.add(text);
      return probe(devices);
    },
  };
  const removeId: Attribute = { kind: 'attribute', store: (text) => ids.remove(text) };
  return [
    ['new_id', newId],
    ['remove_id', removeId],
  ];
}

function moduleLink(driver: string): readonly [string, Entry] {
  return ['module', { kind: 'link', target: `../../../../module/${driver.replace('-', '_')}` }];
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
export function iommu(devices: readonly BusDevice[]): SysfsFolder[] {
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
