/**
 * The devices of both machines: QEMU's in the guest, our models of the same ones here, at the same addresses
 * and in groups of the same numbers. Some lie on the root bus, which is never reset; others behind ports.
 */
import { fileURLToPath } from 'node:url';
import { Machine } from '../../machine/machine.js';
import type { GuestMachine } from '../guest.js';

/** Ids of PCI capabilities. */
export const capabilityIds = { pm: 0x01, msi: 0x05, exp: 0x10, msix: 0x11 } as const;
export type CapabilityName = keyof typeof capabilityIds;

interface Kind {
  readonly name: 'edu' | 'rocker' | 'nvme' | 'xhci' | 'igb';
  /** Its PCI capabilities, as far as they are compared. */
  readonly capabilities: readonly CapabilityName[];
  /** QEMU's `-device`, without its address. */
  readonly qemu: string;
}

export interface OracleDevice extends Kind {
  /** Its PCI address, as VFIO_GROUP_GET_DEVICE_FD takes it. */
  readonly address: string;
  /** Its group's number: every function has a group of its own, numbered in their order. */
  readonly group: number;
  /** The QEMU bus that it lies on, behind a port. Absent: the root bus. */
  readonly bus?: string;
}

const edu: Kind = { name: 'edu', capabilities: ['msi'], qemu: 'edu' };
const rocker: Kind = { name: 'rocker', capabilities: ['msix'], qemu: 'rocker,name=root' };
const nvme: Kind = { name: 'nvme', capabilities: ['pm', 'exp', 'msix'], qemu: 'nvme,serial=oracle' };
const xhci: Kind = { name: 'xhci', capabilities: ['msi', 'msix'], qemu: 'nec-usb-xhci' };
const igb: Kind = { name: 'igb', capabilities: [], qemu: 'igb,multifunction=on' };

const PORTS = ['port1', 'port2', 'port3'];
const FIRST_PORT = 5;
/** The groups of the ports and of the chipset's own functions, which no program opens. */
const CHIPSET_GROUPS = [5, 6, 7, 8];

/** By rising group. */
export const devices: readonly OracleDevice[] = [
  { ...edu, address: '0000:00:01.0', group: 1 },
  { ...rocker, address: '0000:00:02.0', group: 2 },
  { ...nvme, address: '0000:00:03.0', group: 3 },
  { ...xhci, address: '0000:00:04.0', group: 4 },
  { ...nvme, address: '0000:01:00.0', group: 9, bus: 'port1' },
  { ...rocker, qemu: 'rocker,name=port', address: '0000:02:00.0', group: 10, bus: 'port2' },
  { ...igb, address: '0000:03:00.0', group: 11, bus: 'port3' },
  { ...igb, address: '0000:03:00.1', group: 12, bus: 'port3' },
];

/** The other function on the bus of `device`; when there is none, one on another bus behind a port. */
export function besideOf(device: OracleDevice): OracleDevice {
  const others = devices.filter((each) => each.bus !== undefined && each !== device);
  return others.find(({ bus }) => bus === device.bus) ?? others[0]!;
}

const model = (name: Kind['name']) => fileURLToPath(new URL(`./models/${name}.js`, import.meta.url));

/** `--device` arguments of a machine with all of them, in the order of their groups. */
export const specs: readonly string[] = [
  ...devices.filter(({ bus }) => bus === undefined),
  ...CHIPSET_GROUPS.map((group) => ({ ...edu, group, address: `0000:00:0${group}.0`, bus: undefined })),
  ...devices.filter(({ bus }) => bus !== undefined),
].map(({ name, address, bus }) => `${model(name)},bdf=${address}${bus === undefined ? '' : ',port=1'}`);

const slotAndFunction = (address: string) => address.slice(-4);

/**
 * The guest's machine: an IOMMU that remaps interrupts too, and the devices. The ports have the link of the
 * slowest card: after a reset of its bus Linux waits for one as fast as the port's.
 */
export const guestMachine: GuestMachine = {
  arguments: [
    ...['-machine', 'q35,kernel-irqchip=split,accel=tcg'],
    ...['-device', 'intel-iommu,intremap=on,caching-mode=on'],
    ...PORTS.flatMap((id, n) => [
      '-device',
      `pcie-root-port,id=${id},chassis=${n + 1},addr=${FIRST_PORT + n},hotplug=off,x-speed=2_5,x-width=1`,
    ]),
    ...devices.flatMap(({ address, qemu, bus = 'pcie.0' }) => [
      '-device',
      `${qemu},bus=${bus},addr=${slotAndFunction(address)}`,
    ]),
  ],
  // Alternative routing-ids would have one function behind a port, whatever QEMU has there.
  commandLine: ['intel_iommu=on', 'pci=noari'],
};

export function deviceMachine(): Promise<Machine> {
  return Machine.create({ devices: specs });
}
