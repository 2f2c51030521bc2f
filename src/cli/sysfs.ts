/**
 * What programs look up in /sys before they open a device: which IOMMU group a PCI function or a mediated
 * device is in, what it is, which VFIO file it has, and whether the kernel has VFIO at all.
 *
 * Of VFIO it is a picture, taken once: files hold what sysfs of a real machine would say of a function that
 * is bound to vfio-pci and not open. Nothing in it gives access to anything. What is Linux's driver idxd's is
 * served (../sysfs). The launcher shows both to the command only (sysfs-mount.ts).
 */
import type { TreeEntry } from '../devfs/fuse-server.js';
import { VFIO_DEVICE_MAJOR } from '../file/device-numbers.js';
import type { Machine } from '../machine/machine.js';
import { CONFIG_REGION, ROM_REGION } from '../vfio/device.js';
import type { VfioGroup } from '../vfio/group.js';
import { DMA_ENTRY_LIMIT } from '../vfio/type1-container.js';
import { type SysfsEntry, sysfsFolder } from './launch-plan.js';

/** From <linux/ioport.h>. */
const IORESOURCE_MEM = 0x200;
const IORESOURCE_PREFETCH = 0x2000;
const IORESOURCE_SIZEALIGN = 0x40000;
const IORESOURCE_MEM_64 = 0x100000;
/** The type bits of a BAR that mean the same in the flags of a resource. */
const BAR_TYPE = 0xf;
const BAR_64 = 4;
const BAR_PREFETCH = 8;
/** BARs, the ROM, and the windows of a bridge. */
const RESOURCES = 13;
/** Each function's BARs lie in a part of the address space of its own; no memory is there. */
const SPAN = 2 ** 40;

const hex = (value: number, digits: number) => `0x${value.toString(16).padStart(digits, '0')}`;

/** The kernel's modules of VFIO, with those of their parameters that programs go by. */
const modules: readonly SysfsEntry[] = [
  { path: 'module/vfio/parameters/enable_unsafe_noiommu_mode', content: 'N\n' },
  { path: 'module/vfio_pci/parameters/nointxmask', content: 'N\n' },
  { path: 'module/vfio_iommu_type1/parameters/dma_entry_limit', content: `${DMA_ENTRY_LIMIT}\n` },
];

/** Linux's driver of DSAs, with shared virtual addressing. */
const idxdModule: SysfsEntry = { path: 'module/idxd/parameters/sva', content: 'Y\n' };

/** The picture of all groups, and of what drivers there are. */
export function sysfsEntries({ groups, idxd }: Machine): SysfsEntry[] {
  const ofGroups = groups.flatMap((group) => [...groupEntries(group), ...deviceEntries(group)]);
  return [...(groups.length > 0 ? modules : []), ...(idxd.length > 0 ? [idxdModule] : []), ...ofGroups];
}

/** What is no picture: the folders that are served, below /dev, for the launcher to bind. */
export function servedEntries({ sysfs }: Machine): TreeEntry[] {
  return sysfs.map(([path, folder]) => ({ path: `${sysfsFolder}/${path}`, kind: 'dir', folder }));
}

/** The bus of the group's device: a mediated device is on one of its own. */
const busOf = ({ device }: VfioGroup) => (device.life.mediated ? 'mdev' : 'pci');

/** A mediated device's group has no page tables, so it has neither a type nor regions that they reserve. */
function groupEntries(group: VfioGroup): SysfsEntry[] {
  const folder = `kernel/iommu_groups/${group.number}`;
  const { deviceName } = group;
  const target = `../../../../bus/${busOf(group)}/devices/${deviceName}`;
  const link = { path: `${folder}/devices/${deviceName}`, target };
  if (group.device.life.mediated) return [link];
  return [
    link,
    { path: `${folder}/type`, content: 'DMA\n' },
    { path: `${folder}/reserved_regions`, content: '0x00000000fee00000 0x00000000feefffff msi\n' },
  ];
}

function deviceEntries(group: VfioGroup): SysfsEntry[] {
  const folder = `bus/${busOf(group)}/devices/${group.deviceName}`;
  const attributes = { ...fileEntries(group), ...(!group.device.life.mediated && functionEntries(group)) };
  return [
    ...Object.entries(attributes).map(([name, content]) => ({ path: `${folder}/${name}`, content })),
    { path: `${folder}/iommu_group`, target: `../../../../kernel/iommu_groups/${group.number}` },
    { path: `${folder}/subsystem`, target: '../..' },
    ...(group.device.life.mediated ? [] : [{ path: `${folder}/driver`, target: '../../drivers/vfio-pci' }]),
  ];
}

/** The device's own file. */
function fileEntries({ device, number }: VfioGroup): Record<string, string> {
  const [major, minor] = [VFIO_DEVICE_MAJOR, number - 1];
  const uevent = [`MAJOR=${major}`, `MINOR=${minor}`, `DEVNAME=vfio/devices/${device.name}`, ''];
  return {
    [`vfio-dev/${device.name}/dev`]: `${major}:${minor}\n`,
    [`vfio-dev/${device.name}/uevent`]: uevent.join('\n'),
  };
}

function functionEntries(group: VfioGroup): Record<string, string> {
  const { device } = group;
  const config = Buffer.alloc(device.regionSize(CONFIG_REGION));
  device.readRegion(CONFIG_REGION, 0, config);
  return {
    ...identity(config, device.life.rid),
    resource: resources(group, config),
    config: config.toString('latin1'),
    irq: '0\n',
    enable: '0\n',
    numa_node: '-1\n',
    driver_override: 'vfio-pci\n',
  };
}

/** Identification, from configuration space (PCI 3.0, 6.1). */
function identity(config: Buffer, rid: string): Record<string, string> {
  const id = (at: number) => config.readUInt16LE(at);
  const code = config.readUInt32LE(8) >>> 8;
  const plain = (value: number) => value.toString(16).toUpperCase().padStart(4, '0');
  const lines = [
    'DRIVER=vfio-pci',
    `PCI_CLASS=${code.toString(16).toUpperCase()}`,
    `PCI_ID=${plain(id(0))}:${plain(id(2))}`,
    `PCI_SUBSYS_ID=${plain(id(0x2c))}:${plain(id(0x2e))}`,
    `PCI_SLOT_NAME=${rid}`,
  ];
  return {
    vendor: `${hex(id(0), 4)}\n`,
    device: `${hex(id(2), 4)}\n`,
    subsystem_vendor: `${hex(id(0x2c), 4)}\n`,
    subsystem_device: `${hex(id(0x2e), 4)}\n`,
    revision: `${hex(config.readUInt8(8), 2)}\n`,
    class: `${hex(code, 6)}\n`,
    uevent: `${lines.join('\n')}\n`,
  };
}

/** A line for each resource: first address, last address, flags. */
function resources({ device, number }: VfioGroup, config: Buffer): string {
  let next = number * SPAN;
  let lines = '';
  for (let index = 0; index < RESOURCES; index++) {
    const size = index < ROM_REGION ? device.regionSize(index) : 0;
    // A BAR is aligned to its size, a power of two.
    const start = size === 0 ? 0 : Math.ceil(next / size) * size;
    if (size > 0) next = start + size;
    const flags = size === 0 ? 0 : resourceFlags(config.readUInt32LE(0x10 + 4 * index));
    lines += `${hex(start, 16)} ${hex(size === 0 ? 0 : start + size - 1, 16)} ${hex(flags, 16)}\n`;
  }
  return lines;
}

function resourceFlags(bar: number): number {
  const type = bar & BAR_TYPE;
  const wide = type & BAR_64 ? IORESOURCE_MEM_64 : 0;
  return (
    IORESOURCE_MEM | IORESOURCE_SIZEALIGN | wide | (type & BAR_PREFETCH ? IORESOURCE_PREFETCH : 0) | type
  );
}
