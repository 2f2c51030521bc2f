/** Steps that read and write regions: registers, the MSI-X table, configuration space; of every width. */
import fc from 'fast-check';
import { plain, type Value } from '../language.js';
import { mostly, which } from '../numbers.js';
import type { CapabilityName } from './machine.js';
import {
  CONFIG,
  DEVICE_FD,
  type DeviceScene,
  type DeviceStep,
  inCapability,
  littleEndian,
  placeText,
  region,
} from './scene.js';

const widths = mostly(fc.constantFrom(1, 2, 4, 4, 8), fc.constantFrom(0, 3, 5, 6, 7, 12, 16, 24, 32, 48), 4);
const values = fc.oneof(
  fc.constantFrom(0n, 1n, 0xffn, 0xffffn, 0xffffffffn, (1n << 64n) - 1n, 0x400n, 0x0405n, 0x8000n),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
);

/** Offsets of registers that neither wait nor depend on time, by device; what is around them is empty. */
const registers = {
  edu: [0x00, 0x04, 0x20, 0x24, 0x60, 0x64, 0x80, 0x88, 0x90, 0x98, 0xa0, 0xfff8],
  rocker: [0x00, 0x04, 0x08, 0x0c, 0x10, 0x14, 0x18, 0x1c, 0x24, 0x28, 0x2c, 0x30, 0x100],
  nvme: [0x2000, 0x2004, 0x2008, 0x200c, 0x2010, 0x23f0, 0x3000, 0x3008],
  /** None is compared. */
  igb: [],
  xhci: [
    ...[0x3000, 0x3004, 0x3008, 0x300c, 0x3010, 0x3800, 0x3804],
    ...[0x00, 0x04, 0x08, 0x0c, 0x10, 0x14, 0x18, 0x40, 0x44, 0x48, 0x4c, 0x54, 0x58, 0x5c, 0x70, 0x74, 0x78],
    ...[0, 1, 2, 15].flatMap((n) => Array.from({ length: 8 }, (_, k) => 0x1020 + 0x20 * n + 4 * k)),
  ],
} as const;

const inBar = fc.record({
  which: fc.nat(63),
  shift: mostly(fc.constant(0), fc.constantFrom(1, 2, 3, 4, 6, 8), 3),
  width: widths,
});

function barPlace(scene: DeviceScene, n: number, shift: number): bigint {
  const offsets = registers[scene.device.name];
  return BigInt(offsets[n % offsets.length]! + shift);
}

export const readBar: fc.Arbitrary<DeviceStep> = inBar.map(({ which: n, shift, width }) => (scene) => {
  scene.read(barPlace(scene, n, shift), width);
});

export const writeBar: fc.Arbitrary<DeviceStep> = fc
  .record({ place: inBar, value: values })
  .map(({ place, value }) => (scene) => {
    const at = barPlace(scene, place.which, place.shift);
    // A DMA is started by a step of its own, because it takes its time.
    const width = BigInt(place.width);
    if (scene.device.name === 'edu' && at < 0xa0n && at + width > 0x98n) return;
    if (scene.device.name === 'edu' && at < 0x0cn && at + width > 0x08n) return;
    // So is a command that lets an xHC run: its counter wraps in its own time.
    if (scene.device.name === 'xhci' && at < 0x44n && at + width > 0x40n) return;
    scene.write(at, value, place.width);
  });

/** Several registers by one call, in one buffer or in several. */
export const vectored: fc.Arbitrary<DeviceStep> = fc
  .record({
    write: fc.boolean(),
    which,
    lengths: fc.array(fc.constantFrom(1, 2, 4, 4, 8, 12), { minLength: 2, maxLength: 4 }),
    value: values,
  })
  .map(({ write, which: n, lengths, value }) => (scene) => {
    const at = scene.device.name === 'nvme' ? CONFIG + 0x04n : barPlace(scene, n % 10, 0);
    if (!write) scene.add(plain('preadv', DEVICE_FD, placeText(at), ...lengths));
    else if (scene.device.name === 'rocker')
      scene.add(
        plain('pwritev', DEVICE_FD, placeText(at), ...lengths.map((each) => littleEndian(value, each))),
      );
  });

/** The MSI-X table and pending bits, in the BAR where the device has them. */
export const msixTable: fc.Arbitrary<DeviceStep> = fc
  .record({
    write: fc.boolean(),
    entry: fc.nat(4),
    at: fc.constantFrom(0, 4, 8, 12, 12, 14, -4, -8),
    width: widths,
    pending: mostly(fc.constant(false), fc.constant(true), 3),
    value: values,
  })
  .map(({ write, entry, at, width, pending, value }) => (scene) => {
    const start = scene.device.name === 'rocker' ? region(1) : region(0) + 0x2000n;
    const place = start + (pending ? 0x1000n : BigInt(Math.max(0, entry * 16 + at)));
    if (write) scene.write(place, value, width);
    else scene.read(place, width);
  });

/** Places beyond what a device has. */
export const oddPlace: fc.Arbitrary<DeviceStep> = fc
  .record({
    write: fc.boolean(),
    place: fc.constantFrom(
      region(0) + 0xfffffn,
      region(0) + 0x100000n,
      region(0) + 0x1ffcn,
      region(1),
      region(2),
      region(5),
      region(6),
      region(7) + 0xffcn,
      region(7) + 0xffdn,
      region(7) + 0x1000n,
      region(8),
      region(9),
      region(10),
      (1n << 63n) - 1n,
      (1n << 64n) - 1n,
    ),
    width: widths,
    value: values,
  })
  .map(({ write, place, width, value }) => (scene) => {
    // An xHC is a function of conventional PCI here.
    if (scene.device.name === 'xhci' && place >= CONFIG && place < region(8)) return;
    if (write) scene.write(place, value, width);
    else scene.read(place, width);
  });

/** Bytes of the header that are not the machine's own (addresses, the interrupt's line). */
const headerBytes = [
  0x00, 0x02, 0x04, 0x04, 0x04, 0x05, 0x06, 0x07, 0x08, 0x0a, 0x0c, 0x0d, 0x0e, 0x2c, 0x2e,
];
const bars = [0x10, 0x14, 0x18, 0x24, 0x30, 0x3c, 0x3d, 0x3e];

const capabilityBytes: Readonly<Record<CapabilityName, readonly number[]>> = {
  pm: [0, 2, 4, 4, 5, 6],
  msi: [2, 2, 2, 3, 4, 8, 12],
  exp: [2, 4, 8, 8, 8, 9, 10, 12, 16, 18, 0x24, 0x28],
  msix: [2, 2, 3, 4, 8],
};

/** Bytes of the capabilities of nvme. What is behind them, and which is next, is another one than here. */
const capabilityEnds = { pm: 8, exp: 0x2c, msix: 12, msi: 14 } as const;
const CAPABILITY_POINTER = 0x34;
const CAPABILITIES = 0x40;

interface ConfigPlace {
  /** Which of the device's capabilities; below 2: the header. */
  readonly cap: number;
  readonly which: number;
  readonly bar: boolean;
  readonly width: number;
}

const configPlace: fc.Arbitrary<ConfigPlace> = fc.record({
  cap: fc.nat(5),
  which: fc.nat(15),
  bar: mostly(fc.constant(false), fc.constant(true), 4),
  width: mostly(fc.constantFrom(1, 2, 2, 4), fc.constantFrom(3, 5, 8, 16), 8),
});

/** Where it is, and how many bytes are read or written there. */
function placeOf(
  { device }: DeviceScene,
  { cap, which: n, bar, width }: ConfigPlace,
): [place: Value | bigint, width: number] {
  const whole = device.name !== 'nvme';
  const name = device.capabilities[(cap - 2) % device.capabilities.length];
  if (cap < 2 || name === undefined) {
    const among = bar ? bars : headerBytes;
    const at = among[n % among.length]!;
    const end = at < CAPABILITY_POINTER ? CAPABILITY_POINTER : CAPABILITIES;
    return [CONFIG + BigInt(at), whole ? width : Math.min(width, end - at)];
  }
  const offsets = capabilityBytes[name];
  const at = offsets[n % offsets.length]!;
  const end = at === 0 ? 1 : capabilityEnds[name];
  return [inCapability(name, at), whole ? width : Math.min(width, end - at)];
}

export const readConfig: fc.Arbitrary<DeviceStep> = configPlace.map((place) => (scene) => {
  scene.read(...placeOf(scene, place));
});

export const writeConfig: fc.Arbitrary<DeviceStep> = fc
  .record({ place: configPlace, value: values })
  .map(({ place, value }) => (scene) => {
    const [at, width] = placeOf(scene, place);
    scene.write(at, value, width);
    scene.read(at, width);
  });

/** The command register as drivers use it: memory, bus mastering, INTx. */
export const command: fc.Arbitrary<DeviceStep> = fc
  .constantFrom(0x0006n, 0x0006n, 0x0406n, 0x0406n, 0x0002n, 0x0004n, 0x0000n, 0x0402n)
  .map((value) => (scene) => {
    scene.write(CONFIG + 0x04n, value, 2);
    scene.read(CONFIG + 0x04n, 4);
  });
