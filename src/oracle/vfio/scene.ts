/**
 * A scene of one device: a program that has opened it through its group, with memory, eventfds and the places
 * of its capabilities by name. Steps add lines to it.
 *
 * What differs between any two machines (addresses in BARs, the interrupt line, registers that a device
 * without reset has kept) is written first, so that both sides begin alike.
 */
import {
  address,
  descriptor,
  formatValue,
  type Line,
  number,
  plain,
  saved,
  type Value,
} from '../language.js';
import { type CallOptions, call, type LayoutName } from '../layouts.js';
import { IRQ_DATA } from '../layouts-vfio.js';
import { besideOf, type CapabilityName, capabilityIds, devices, type OracleDevice } from './machine.js';

export const MEMORY_BYTES = 0x10000;
/** Of the buffer in which names lie, and bitmaps. */
export const NAMES_BYTES = 0x1000;
/** An IOVA at which all memory is mapped when a scene begins. */
export const MAPPED = 0x100000n;
export const EVENTFDS = ['e0', 'e1', 'e2'] as const;
/** One that no interrupt signals: a write to it that raises an interrupt would go round for ever. */
export const IO_EVENTFD = 'io';
/** One that nobody reads. */
const QUIET_EVENTFD = 'q';
export const DEVICE_FD = 'dev';
/** The function beside it, and where its name lies. */
export const BESIDE_FD = 'beside';
export const BESIDE_NAME_AT = 0x40;
/** Configuration space begins here in the file, and a region of any number there. */
export const region = (index: number): bigint => BigInt(index) << 40n;
export const CONFIG = region(7);

const COMMAND = 0x04n;
const BAR0 = 0x10n;
const INTERRUPT_LINE = 0x3cn;
const MEMORY_AND_MASTER = 0x0006;
const ROCKER_VECTORS = 4;
const XHCI_VECTORS = 16;

/** One program's files and memory; every step adds to its lines. */
export class DeviceScene {
  readonly lines: Line[] = [];
  readonly device: OracleDevice;

  constructor(device: OracleDevice) {
    this.device = device;
  }

  add(...lines: readonly Line[]): void {
    this.lines.push(...lines);
  }

  call(
    name: LayoutName,
    fields: Readonly<Record<string, Value | number | bigint>>,
    options?: CallOptions,
  ): void {
    this.lines.push(call(name, fields, options));
  }

  read(place: Value | bigint, length: number): void {
    this.add(plain('pread', DEVICE_FD, placeText(place), length));
  }

  /** Writes the low `length` bytes of `value`. */
  write(place: Value | bigint, value: bigint, length: number): void {
    this.add(plain('pwrite', DEVICE_FD, placeText(place), littleEndian(value, length)));
  }
}

export type DeviceStep = (scene: DeviceScene) => void;

/** The device of a program that begins with `lines`. */
export function deviceOf(lines: readonly Line[]): OracleDevice | undefined {
  const open = lines.find((line) => line.verb === 'open' && line.words[0] === 'g');
  const path = open?.verb === 'open' ? open.words[1] : undefined;
  return devices.find(({ group }) => path === `/dev/vfio/${group}`);
}

function nameOf({ address }: OracleDevice): string {
  return Buffer.from(`${address}\0`).toString('hex');
}

export function placeText(place: Value | bigint): string {
  return formatValue(typeof place === 'bigint' ? number(place) : place);
}

/** In hex; `-` is no bytes. */
export function littleEndian(value: bigint, length: number): string {
  if (length === 0) return '-';
  const bytes = Buffer.alloc(length);
  for (let n = 0; n < length; n++) bytes[n] = Number((value >> BigInt(8 * n)) & 0xffn);
  return bytes.toString('hex');
}

/** The lines that every sequence begins with: files, memory, eventfds. */
export function openFiles(scene: DeviceScene): void {
  scene.add(
    plain('open', 'c', '/dev/vfio/vfio'),
    plain('open', 'g', `/dev/vfio/${scene.device.group}`),
    plain('buf', 'b', MEMORY_BYTES, 4096),
    plain('buf', 's', NAMES_BYTES, 4096),
    plain('memfd', 'm', 0x1000),
    plain('fill', 's', 0, nameOf(scene.device)),
    ...(scene.device.bus === undefined
      ? []
      : [plain('fill', 's', BESIDE_NAME_AT, nameOf(besideOf(scene.device)))]),
    ...[...EVENTFDS, IO_EVENTFD].map((each) => plain('eventfd', each)),
  );
}

/** Joins the container and opens the device. `type` is 1 or 3: type1 of version 1 or 2. */
export function openDevice(scene: DeviceScene, type: number): void {
  scene.call('VFIO_GROUP_SET_CONTAINER', { fd: descriptor('c') }, { fd: 'g' });
  scene.call('VFIO_SET_IOMMU', {}, { fd: 'c', address: number(type) });
  getDeviceFd(scene);
  for (const name of scene.device.capabilities) scene.add(plain('cap', name, DEVICE_FD, capabilityIds[name]));
}

export function getDeviceFd(scene: DeviceScene, name = DEVICE_FD, group = 'g', nameAt = 0): void {
  const saves = { [name]: { fd: 'result' } };
  const place = address('s', nameAt);
  scene.call('VFIO_GROUP_GET_DEVICE_FD', {}, { fd: group, address: place, saves });
}

export function mapMemory(scene: DeviceScene): void {
  scene.call(
    'VFIO_IOMMU_MAP_DMA',
    {
      argsz: 32,
      flags: 3,
      vaddr: { kind: 'address', name: 'b', plus: 0n },
      iova: MAPPED,
      size: MEMORY_BYTES,
    },
    { fd: 'c' },
  );
}

/** Makes both machines' devices alike. */
export function settle(scene: DeviceScene): void {
  for (let bar = 0n; bar < 6n; bar++) scene.write(CONFIG + BAR0 + 4n * bar, 0n, 4);
  scene.write(CONFIG + COMMAND, BigInt(MEMORY_AND_MASTER), 2);
  scene.write(CONFIG + INTERRUPT_LINE, 0n, 1);
  if (scene.device.name === 'edu') settleEdu(scene);
  if (scene.device.name === 'rocker') settleRocker(scene);
  if (scene.device.name === 'xhci') settleXhci(scene);
}

function settleEdu(scene: DeviceScene): void {
  scene.write(0x64n, 0xffffffffn, 4); // acknowledges
  scene.write(0x20n, 0n, 4);
  scene.write(0x04n, 0xffffffffn, 4);
  for (const register of [0x80n, 0x88n, 0x90n]) scene.write(register, 0n, 8);
}

function settleRocker(scene: DeviceScene): void {
  forgetPending(scene, ROCKER_VECTORS);
  scene.write(0x10n, 0n, 4);
  for (const register of [0x18n, 0x28n]) scene.write(register, 0n, 8);
  // The lower half of what is written by halves.
  for (const register of [0x18n, 0x30n]) scene.write(register, 0n, 4);
}

/** What an earlier program has left pending of MSI-X is signalled to nobody. */
function forgetPending(scene: DeviceScene, vectors: number): void {
  scene.add(plain('eventfd', QUIET_EVENTFD));
  for (let start = 0; start < vectors; start += IRQ_DATA) {
    const count = Math.min(IRQ_DATA, vectors - start);
    const fds = Object.fromEntries(
      Array.from({ length: count }, (_, n) => [`data${n}`, descriptor(QUIET_EVENTFD)]),
    );
    const fields = { argsz: 20 + 4 * count, flags: 0x24, index: 2, start, count, ...fds };
    scene.call('VFIO_DEVICE_SET_IRQS', fields, { fd: DEVICE_FD });
  }
  scene.call('VFIO_DEVICE_SET_IRQS', { argsz: 20, flags: 0x21, index: 2 }, { fd: DEVICE_FD });
}

/** Interrupters of an xHC that have a ring of events: each sends its own message, when there are as many. */
export const INTERRUPTERS = [0, 1, 2, 3, 15] as const;
export const interrupter = (n: number): bigint => 0x1020n + BigInt(n) * 0x20n;
/** Its ring of events; in the page before is the table of all interrupters, of one entry. */
export const EVENT_RING = MAPPED + 0x1000n;
const RING_EVENTS = 16n;

/** Resets it, lets it interrupt, and tells it of the rings; they must be mapped. */
function settleXhci(scene: DeviceScene): void {
  forgetPending(scene, XHCI_VECTORS);
  // vfio-pci remembers for how many messages MSI was enabled last.
  const one = { argsz: 24, flags: 0x24, index: 1, count: 1, data0: descriptor(QUIET_EVENTFD) };
  scene.call('VFIO_DEVICE_SET_IRQS', one, { fd: DEVICE_FD });
  scene.call('VFIO_DEVICE_SET_IRQS', { argsz: 20, flags: 0x21, index: 1 }, { fd: DEVICE_FD });
  // So does the device, and a program sees what it has kept when it opens the device.
  scene.write(inCapability('msi', 2), 0x88n, 1);
  const entry = EVENT_RING | (RING_EVENTS << 64n);
  scene.add(plain('fill', 'b', 0, littleEndian(entry, 16)));
  for (const command of [2n, 4n]) scene.write(0x40n, command, 4);
  for (const n of INTERRUPTERS) {
    scene.write(interrupter(n) + 0x08n, 1n, 4);
    scene.write(interrupter(n) + 0x10n, MAPPED, 4);
    for (const high of [0x14n, 0x1cn]) scene.write(interrupter(n) + high, 0n, 4);
  }
}

/** The place of a capability's byte. */
export const inCapability = (name: CapabilityName, at: number): Value => saved(name, at);
