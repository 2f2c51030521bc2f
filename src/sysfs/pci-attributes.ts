/**
 * The attributes of a PCI function (Linux: Documentation/ABI/testing/sysfs-bus-pci): what it is, where its
 * BARs lie, and its configuration space.
 *
 * Those that would change the host or the machine's topology (`remove`, `rescan`, `sriov_numvfs`) are not
 * there, nor are those that map a BAR (`resourceN`): its device file does.
 */
import type { PciDescription } from '../devices/device-model.js';
import type { Attribute, BinaryAttribute, Entry } from '../file/attributes.js';
import { refuse } from '../linux/errno.js';
import { processors } from '../linux/processors.js';
import { bitmapText, rangesText } from './numbers.js';
import type { PlacedBars } from './pci-addresses.js';
import { numaNode, shown } from './values.js';

/** What is read of configuration space without CAP_SYS_ADMIN: the header. */
const HEADER_BYTES = 64;
/** BARs and ROM in configuration space: addresses that firmware has chosen. */
const ADDRESSES = [0x10, 0x28] as const;

const hex = (value: number, digits: number) => `0x${value.toString(16).padStart(digits, '0')}`;
const upper = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, '0');

/** What does not depend on who has the function. */
export function identityAttributes(pci: PciDescription): [string, Attribute][] {
  const cpus = processors();
  return [
    ['vendor', shown(() => hex(pci.vendorId, 4))],
    ['device', shown(() => hex(pci.deviceId, 4))],
    ['subsystem_vendor', shown(() => hex(subsystemOf(pci).vendor, 4))],
    ['subsystem_device', shown(() => hex(subsystemOf(pci).device, 4))],
    ['revision', shown(() => hex(pci.revision ?? 0, 2))],
    ['class', shown(() => hex(pci.classCode, 6))],
    ['modalias', shown(() => modalias(pci))],
    // No line.
    ['irq', shown(() => 0)],
    ['numa_node', numaNode],
    ['local_cpus', shown(() => bitmapText(cpus.online, cpus.possible))],
    ['local_cpulist', shown(() => rangesText(cpus.online))],
    ['ari_enabled', shown(() => 0)],
  ];
}

/** The variables of `uevent` but for its driver. */
export function variables(pci: PciDescription, rid: string): string[] {
  const { vendor, device } = subsystemOf(pci);
  return [
    `PCI_CLASS=${upper(pci.classCode, 4)}`,
    `PCI_ID=${upper(pci.vendorId, 4)}:${upper(pci.deviceId, 4)}`,
    `PCI_SUBSYS_ID=${upper(vendor, 4)}:${upper(device, 4)}`,
    `PCI_SLOT_NAME=${rid}`,
    `MODALIAS=${modalias(pci)}`,
  ];
}

/** Configuration space, as the driver of a function has it. */
export interface ConfigRegisters {
  readonly size: number;
  /** Fills `target`, of its size. */
  read(target: Uint8Array): void;
  /** Absent: nobody may. */
  write?(offset: number, source: Uint8Array): void;
  /** As of Attribute. */
  uses?(): readonly object[];
}

/** Those of its registers. What is written waits while the device is in the middle of a call. */
export function registerAttributes(config: ConfigRegisters, bars: PlacedBars): [string, Entry][] {
  return [
    ['resource', { kind: 'attribute', show: () => bars.text }],
    ['config', configAttribute(config, bars)],
  ];
}

function configAttribute(config: ConfigRegisters, bars: PlacedBars): BinaryAttribute {
  const { size } = config;
  return {
    kind: 'binary',
    mode: config.write ? 0o644 : 0o444,
    size,
    uses: () => config.uses?.() ?? [],
    read: (offset, target, { isAdmin }) => {
      const bytes = Buffer.alloc(size);
      config.read(bytes);
      bars.fill(bytes);
      const part = bytes.subarray(offset, Math.min(isAdmin ? size : HEADER_BYTES, offset + target.length));
      target.set(part);
      return part.length;
    },
    write: (offset, source) => {
      if (!config.write) refuse('EPERM', 'the driver of this function has its configuration space');
      const [first, end] = ADDRESSES;
      const head = source.subarray(0, Math.max(0, first - offset));
      const rest = source.subarray(Math.max(0, end - offset));
      if (head.length > 0) config.write(offset, head);
      if (rest.length > 0) config.write(Math.max(offset, end), rest);
    },
  };
}

function subsystemOf(pci: PciDescription): { vendor: number; device: number } {
  return { vendor: pci.subsystemVendorId ?? pci.vendorId, device: pci.subsystemId ?? pci.deviceId };
}

function modalias(pci: PciDescription): string {
  const { vendor, device } = subsystemOf(pci);
  const [base, sub, code] = [pci.classCode >>> 16, (pci.classCode >>> 8) & 0xff, pci.classCode & 0xff];
  const own = `v${upper(pci.vendorId, 8)}d${upper(pci.deviceId, 8)}`;
  const board = `sv${upper(vendor, 8)}sd${upper(device, 8)}`;
  return `pci:${own}${board}bc${upper(base, 2)}sc${upper(sub, 2)}i${upper(code, 2)}`;
}
