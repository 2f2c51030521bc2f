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
import { CONFIG_REGION, type VfioDevice } from '../vfio/device.js';
import { bitmapText, rangesText, unsigned } from './numbers.js';
import type { PlacedBars } from './pci-addresses.js';
import { numaNode, shown } from './values.js';

/** What is read of configuration space without CAP_SYS_ADMIN: the header. */
const HEADER_BYTES = 64;
/** BARs and ROM in configuration space: addresses that firmware has chosen. */
const ADDRESSES = [0x10, 0x28] as const;
const DMA_BITS = 32;

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
    ['dma_mask_bits', shown(() => DMA_BITS)],
    ['consistent_dma_mask_bits', shown(() => DMA_BITS)],
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

/** Those of its registers. What is written waits while the device is in the middle of a call. */
export function registerAttributes(device: VfioDevice, bars: PlacedBars): [string, Entry][] {
  const uses = () => [device];
  const reset: Attribute = { kind: 'attribute', uses, store: (text) => writeReset(device, text) };
  return [
    ['resource', { kind: 'attribute', show: () => bars.text }],
    ['config', config(device, bars)],
    ...(device.resettable ? [['reset', reset] as [string, Attribute]] : []),
  ];
}

function writeReset(device: VfioDevice, text: string): void {
  if (unsigned(text, 0) !== 1n) refuse('EINVAL', `"${text}" is not 1, which resets ${device.name}`);
  device.reset();
}

function config(device: VfioDevice, bars: PlacedBars): BinaryAttribute {
  const size = device.regionSize(CONFIG_REGION);
  return {
    kind: 'binary',
    mode: 0o644,
    size,
    uses: () => [device],
    read: (offset, target, { isAdmin }) => {
      const bytes = Buffer.alloc(size);
      // As by a load: nobody's device is woken by it.
      device.readRegion(CONFIG_REGION, 0, bytes, true);
      bars.fill(bytes);
      const part = bytes.subarray(offset, Math.min(isAdmin ? size : HEADER_BYTES, offset + target.length));
      target.set(part);
      return part.length;
    },
    write: (offset, source) => {
      const [first, end] = ADDRESSES;
      writeConfig(device, offset, source.subarray(0, Math.max(0, first - offset)));
      const rest = source.subarray(Math.max(0, end - offset));
      writeConfig(device, Math.max(offset, end), rest);
    },
  };
}

function writeConfig(device: VfioDevice, offset: number, source: Uint8Array): void {
  if (source.length > 0) device.writeRegion(CONFIG_REGION, offset, source, true);
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
