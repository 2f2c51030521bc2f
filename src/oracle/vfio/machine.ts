/**
 * The devices of both machines: QEMU's in the guest, our models of the same ones here, at the same addresses
 * and in groups of the same numbers.
 */
import { fileURLToPath } from 'node:url';
import { Machine } from '../../machine/machine.js';
import type { GuestMachine } from '../guest.js';

/** Ids of PCI capabilities. */
export const capabilityIds = { pm: 0x01, msi: 0x05, exp: 0x10, msix: 0x11 } as const;
export type CapabilityName = keyof typeof capabilityIds;

export interface OracleDevice {
  readonly name: 'edu' | 'rocker' | 'nvme' | 'xhci';
  /** Its PCI capabilities. */
  readonly capabilities: readonly CapabilityName[];
  /** Its number on bus 0, and its group's: every function has a group of its own, numbered in their order. */
  readonly slot: number;
  /** QEMU's `-device`, without its address. */
  readonly qemu: string;
  /** Our `--device`, without its address. */
  readonly ours: string;
}

const model = (name: string) => fileURLToPath(new URL(`./models/${name}.js`, import.meta.url));

export const devices: readonly OracleDevice[] = [
  { name: 'edu', capabilities: ['msi'], slot: 1, qemu: 'edu', ours: model('edu') },
  { name: 'rocker', capabilities: ['msix'], slot: 2, qemu: 'rocker,name=rocker', ours: model('rocker') },
  {
    name: 'nvme',
    capabilities: ['pm', 'exp', 'msix'],
    slot: 3,
    qemu: 'nvme,serial=oracle',
    ours: model('nvme'),
  },
  { name: 'xhci', capabilities: ['msi', 'msix'], slot: 4, qemu: 'nec-usb-xhci', ours: model('xhci') },
];

/** Its PCI address, as VFIO_GROUP_GET_DEVICE_FD takes it. */
export const addressOf = ({ slot }: OracleDevice): string => `0000:00:0${slot}.0`;

/** `--device` arguments of a machine with all of them. */
export const specs = devices.map((device) => `${device.ours},bdf=${addressOf(device)}`);

/** The guest's machine: an IOMMU that remaps interrupts too, and the devices. */
export const guestMachine: GuestMachine = {
  arguments: [
    ...['-machine', 'q35,kernel-irqchip=split,accel=tcg'],
    ...['-device', 'intel-iommu,intremap=on,caching-mode=on'],
    ...devices.flatMap(({ slot, qemu }) => ['-device', `${qemu},addr=${slot}`]),
  ],
  commandLine: ['intel_iommu=on'],
};

export function deviceMachine(): Promise<Machine> {
  return Machine.create({ devices: specs });
}
