/**
 * Steps about interrupts: asking for them, setting them up, having the device raise them, looking for them.
 */
import fc from 'fast-check';
import type { Patient } from '../comparison.js';
import { descriptor, number, plain, type Value } from '../language.js';
import { IRQ_DATA } from '../layouts-vfio.js';
import { edges32, mostly, oneIn, which } from '../numbers.js';
import {
  CONFIG,
  DEVICE_FD,
  type DeviceScene,
  type DeviceStep,
  EVENT_RING,
  EVENTFDS,
  INTERRUPTERS,
  IO_EVENTFD,
  inCapability,
  interrupter,
  region,
} from './scene.js';

const HEADER = 20;
const DATA_NONE = 1;
const DATA_BOOL = 2;
const DATA_EVENTFD = 4;
const MASK = 8;
const UNMASK = 16;
const TRIGGER = 32;

const index = mostly(fc.constantFrom(0, 0, 1, 1, 2, 2, 3, 4), edges32, 30);

export const irqInfo: fc.Arbitrary<DeviceStep> = fc
  .record({
    index,
    argsz: mostly(fc.constant(16), fc.constantFrom(0, 15, 24)),
    flags: mostly(fc.constant(0), edges32),
  })
  .map((fields) => (scene) => scene.call('VFIO_DEVICE_GET_IRQ_INFO', fields, { fd: DEVICE_FD }));

/** A descriptor in a list: an eventfd, none (-1), or something that is none. */
const listed: fc.Arbitrary<Value> = mostly(
  which.map((n): Value => (n === 0 ? number(0xffffffffn) : descriptor(EVENTFDS[n % EVENTFDS.length]!))),
  fc.constantFrom<Value>(
    number(0xfffffffen),
    number(0x80000000n),
    number(999),
    descriptor('m'),
    descriptor('b'),
  ),
  12,
);

export const setIrqs: fc.Arbitrary<DeviceStep> = fc
  .record({
    index,
    action: mostly(
      fc.constantFrom(TRIGGER, TRIGGER, TRIGGER, MASK, UNMASK),
      fc.constantFrom(0, MASK | UNMASK, 0x38),
    ),
    data: mostly(
      fc.constantFrom(DATA_EVENTFD, DATA_EVENTFD, DATA_NONE, DATA_NONE, DATA_BOOL),
      fc.constantFrom(0, 3, 7),
    ),
    start: mostly(
      fc.constantFrom(0, 0, 0, 0, 1, 2, 3),
      fc.constantFrom(4, 16, 64, 65, 0x80000000, 0xffffffff),
    ),
    count: mostly(fc.constantFrom(1, 1, 1, 0, 0, 2, 3, 4), fc.constantFrom(5, 8, 0x7fffffff, 0xffffffff)),
    fds: fc.array(listed, { minLength: IRQ_DATA, maxLength: IRQ_DATA }),
    bools: fc.constantFrom(0x01010101, 0, 1, 0x0100, 0xff00ff01),
    more: mostly(fc.constant(0), fc.constantFrom(-20, -1, 1, 4, 100)),
    flags: mostly(fc.constant(0), fc.constantFrom(0x40, 0x80000000)),
  })
  .map(({ index, action, data, start, count, fds, bools, more, flags }) => (scene) => {
    if (data === DATA_EVENTFD && (index === 0 || scene.device.name === 'xhci')) settleLine(scene);
    const each = data & DATA_EVENTFD ? 4 : data & DATA_BOOL ? 1 : 0;
    const used = Math.min(count, IRQ_DATA);
    const words = each === 4 ? fds.slice(0, used) : [number(bools), number(bools)];
    scene.call(
      'VFIO_DEVICE_SET_IRQS',
      {
        argsz: HEADER + each * used + more,
        flags: (data | action | flags) >>> 0,
        index,
        start,
        count,
        ...Object.fromEntries(words.map((value, n) => [`data${n}`, value])),
      },
      { fd: DEVICE_FD },
    );
  });

/** A line that is high when INTx is enabled is where QEMU's interrupt controller loses it. */
function settleLine(scene: DeviceScene): void {
  if (scene.device.name === 'edu') scene.write(0x64n, 0xffffffffn, 4);
  if (scene.device.name !== 'xhci') return;
  scene.write(CONFIG + 0x04n, 6n, 1); // its registers answer
  scene.write(interrupter(0), 1n, 4);
}

/** An eventfd that unmasks INTx, and was written to before, does it in a work queue of the kernel's. */
const QUEUED_MILLISECONDS = 100;

/** The same sequence, which waits for the eventfd that had nothing. */
export const patient: Patient = (sequence, { at, line, kernel }) => {
  if (line.verb !== 'read' || kernel !== 'EAGAIN') return undefined;
  const lines = [...sequence.lines];
  lines[at] = plain('hear', line.words[0]!, QUEUED_MILLISECONDS);
  return { ...sequence, lines };
};

/** The usual beginning: one eventfd for the first vectors of a kind that the device has. */
export const enable: fc.Arbitrary<DeviceStep> = fc
  .record({
    n: fc.nat(3),
    msix: oneIn(2),
    intx: fc.boolean(),
    count: fc.constantFrom(1, 1, 2, 3),
    more: fc.constantFrom(1, 2, 3, 4, 6, 8),
  })
  .map(({ n, msix, intx, count, more }) => (scene) => {
    const kinds = {
      edu: intx ? 0 : 1,
      rocker: 2,
      nvme: msix ? 2 : 0,
      xhci: msix ? 2 : intx ? 0 : 1,
      igb: msix ? 2 : 1,
    };
    const index = kinds[scene.device.name];
    settleLine(scene);
    const vectors = index === 0 ? 1 : scene.device.name === 'xhci' ? more : index === 2 ? count : 1;
    const fds = Array.from({ length: vectors }, (_, vector) =>
      descriptor(EVENTFDS[(n + vector) % EVENTFDS.length]!),
    );
    scene.call(
      'VFIO_DEVICE_SET_IRQS',
      {
        argsz: HEADER + 4 * vectors,
        flags: DATA_EVENTFD | TRIGGER,
        index,
        count: vectors,
        ...Object.fromEntries(fds.map((value, vector) => [`data${vector}`, value])),
      },
      { fd: DEVICE_FD },
    );
  });

/** SET_IRQS without data on a kind that the device has. */
export const actOn: fc.Arbitrary<DeviceStep> = fc
  .record({
    action: fc.constantFrom(MASK, UNMASK, UNMASK, TRIGGER),
    count: mostly(fc.constant(1), fc.constantFrom(0, 2), 4),
    n: which,
    start: mostly(fc.constant(0), fc.constantFrom(1, 2, 3), 3),
  })
  .map(({ action, count, n, start }) => (scene) => {
    const kinds = { edu: [0, 1], rocker: [2, 2], nvme: [0, 2], xhci: [n % 3 === 0 ? 0 : 1, 2], igb: [1, 2] };
    const index = kinds[scene.device.name][n % 2]!;
    const fields = { argsz: HEADER, flags: DATA_NONE | action, index, start, count };
    scene.call('VFIO_DEVICE_SET_IRQS', fields, { fd: DEVICE_FD });
  });

/** An UNMASK, or another action, by an eventfd (what KVM's resampling needs), and a write to that eventfd. */
export const unmaskByEventfd: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: mostly(
      fc.constant<Value>(descriptor(IO_EVENTFD)),
      fc.constantFrom<Value>(number(0xffffffffn), number(999), descriptor('m'), descriptor('b')),
      3,
    ),
    action: mostly(fc.constant(UNMASK), fc.constant(MASK), 8),
    set: mostly(fc.constant(true), fc.constant(false), 3),
    ring: fc.boolean(),
  })
  .map(({ fd, action, set, ring }) => (scene) => {
    const fields = { argsz: HEADER + 4, flags: DATA_EVENTFD | action, count: 1, data0: fd };
    if (ring) scene.add(plain('write', IO_EVENTFD, '0100000000000000'));
    if (set) scene.call('VFIO_DEVICE_SET_IRQS', fields, { fd: DEVICE_FD });
    for (const each of [...EVENTFDS, IO_EVENTFD]) scene.add(plain('read', each, 8));
  });

/** Which vectors are pending, as far as the device shows it. */
export const pendingBits: fc.Arbitrary<DeviceStep> = fc.constantFrom(4, 8).map((width) => (scene) => {
  if (scene.device.name === 'rocker') scene.read(region(1) + 0x1000n, width);
  else if (scene.device.name === 'xhci') scene.read(0x3800n, width);
  else scene.read(CONFIG + 0x04n, 4);
});

/** Message control, address and data of MSI, as a VMM writes its guest's. */
export const messageControl: fc.Arbitrary<DeviceStep> = fc
  .record({
    at: mostly(fc.constant(2), fc.constantFrom(0, 1, 3, 4, 8, 12)),
    width: mostly(fc.constantFrom(1, 2, 2), fc.constant(4)),
    value: mostly(
      fc.constantFrom(0x80n, 0x81n, 0x81n, 0x00n, 0x01n, 0x91n, 0xa1n, 0xb1n),
      fc.constantFrom(0xc1n, 0xd1n, 0xffffffffn, 0x05n),
    ),
  })
  .map(({ at, width, value }) => (scene) => {
    if (!scene.device.capabilities.includes('msi')) return;
    scene.write(inCapability('msi', at), value, width);
    scene.read(inCapability('msi', 2), 14);
  });

export const lookForSignals: fc.Arbitrary<DeviceStep> = which.map((n) => (scene) => {
  scene.add(plain('read', EVENTFDS[n % EVENTFDS.length]!, 8));
});

/** The device raises an interrupt, or lets it go. */
export const raise: fc.Arbitrary<DeviceStep> = fc
  .record({
    causes: mostly(fc.constantFrom(1n, 1n, 2n, 0x80000000n), fc.constantFrom(0n, 0xffffffffn)),
    vector: fc.nat(4),
  })
  .map(({ causes, vector }) => (scene) => {
    if (scene.device.name === 'edu') scene.write(0x60n, causes, 4);
    else if (scene.device.name === 'rocker') scene.write(0x20n, BigInt(vector), 4);
    else if (scene.device.name === 'xhci') signal(scene, INTERRUPTERS[vector]!);
    for (const each of EVENTFDS) scene.add(plain('read', each, 8));
    if (scene.device.name === 'xhci') lookAtInterrupters(scene);
  });

/** An xHC's pending bits of interrupts, as its status and its interrupters have them. */
function lookAtInterrupters(scene: DeviceScene): void {
  for (const register of [0x44n, interrupter(0), interrupter(1)]) scene.read(register, 4);
}

/** An xHC's interrupter `n` is enabled, nothing pending, and its dequeue pointer put where nothing is. */
function signal(scene: DeviceScene, n: number): void {
  scene.write(interrupter(n), 3n, 4);
  scene.write(interrupter(n) + 0x18n, (EVENT_RING + 0x10n) | 8n, 4);
}

/** The command of an xHC, with or without interrupts, and its status. */
export const controlXhci: fc.Arbitrary<DeviceStep> = fc
  .record({
    command: fc.constantFrom(4n, 4n, 4n, 0n, 2n, 5n, 0x204n, 0x104n),
    status: fc.constantFrom(0n, 8n, 0xffffffffn),
  })
  .map(({ command, status }) => (scene) => {
    if (scene.device.name !== 'xhci') return;
    scene.write(0x40n, command, 4);
    scene.write(0x44n, status, 4);
    for (const each of EVENTFDS) scene.add(plain('read', each, 8));
    lookAtInterrupters(scene);
  });

export const acknowledge: fc.Arbitrary<DeviceStep> = mostly(
  fc.constant(0xffffffffn),
  fc.constantFrom(1n, 0n),
).map((causes) => (scene) => {
  if (scene.device.name === 'edu') scene.write(0x64n, causes, 4);
  // Clears what is pending, and enables what comes or not.
  if (scene.device.name === 'xhci') scene.write(interrupter(0), causes & 3n, 4);
  for (const each of EVENTFDS) scene.add(plain('read', each, 8));
});
