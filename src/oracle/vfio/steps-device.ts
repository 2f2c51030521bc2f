/** Steps that ask a device file for anything but interrupts: information, resets, features. */
import fc from 'fast-check';
import { descriptor, number, plain, type Value } from '../language.js';
import { edges32, mostly } from '../numbers.js';
import { CONFIG, DEVICE_FD, type DeviceStep, EVENTFDS, IO_EVENTFD } from './scene.js';

const PROBE = 1 << 18;
const SET = 1 << 17;
const GET = 1 << 16;
const SUSPEND_MILLISECONDS = 20;

/** What stands in fields that only the answer has: mostly nothing. */
const left = (fields: readonly string[]): fc.Arbitrary<Readonly<Record<string, number>>> =>
  mostly(fc.constant(0), fc.constantFrom(1, 0xffffffff), 2).map((value) =>
    Object.fromEntries(fields.map((name) => [name, value])),
  );

export const deviceInfo: fc.Arbitrary<DeviceStep> = mostly(
  fc.constantFrom(20, 24, 64),
  fc.constantFrom(0, 16, 19),
)
  .chain((argsz) =>
    left(['flags', 'num_regions', 'num_irqs', 'cap_offset', 'pad']).map((rest) => ({ argsz, ...rest })),
  )
  .map((fields) => (scene) => scene.call('VFIO_DEVICE_GET_INFO', fields, { fd: DEVICE_FD }));

export const regionInfo: fc.Arbitrary<DeviceStep> = fc
  .record({
    index: mostly(fc.constantFrom(0, 1, 2, 5, 6, 7, 8), fc.oneof(fc.constantFrom(9, 10), edges32)),
    argsz: mostly(fc.constant(32), fc.constantFrom(0, 31, 64)),
    rest: left(['flags', 'cap_offset', 'size', 'offset']),
  })
  .map(({ rest, ...fields }) => ({ ...fields, ...rest }))
  .map((fields) => (scene) => scene.call('VFIO_DEVICE_GET_REGION_INFO', fields, { fd: DEVICE_FD }));

export const feature: fc.Arbitrary<DeviceStep> = fc
  .record({
    number: mostly(fc.nat(13), fc.constantFrom(0xffff, 100)),
    how: mostly(
      fc.constantFrom(PROBE, GET, SET, PROBE | GET, PROBE | SET),
      fc.constantFrom(0, PROBE | GET | SET, GET | SET, 1 << 19, 0x80000000),
    ),
    argsz: mostly(fc.constantFrom(8, 24), fc.constantFrom(0, 7, 12)),
    data: fc.array(fc.constantFrom(0, 0, 1, 0xffffffff), { minLength: 4, maxLength: 4 }),
  })
  .map(({ number: feature, how, argsz, data: [data0 = 0, data1 = 0, data2 = 0, data3 = 0] }) => (scene) => {
    // Low power has a step of its own.
    const changes = (how & PROBE) === 0 && (how & SET) !== 0;
    if (changes && feature >= 3 && feature <= 5) return;
    const flags = (feature | how) >>> 0;
    const fields = { argsz, flags, data0, data1, data2, data3 };
    scene.call('VFIO_DEVICE_FEATURE', fields, { fd: DEVICE_FD });
  });

/**
 * The device enters low power and is left alone until it has it; then something is asked of it. The nvme of
 * QEMU is not what it was after that.
 */
export const lowPower: fc.Arbitrary<DeviceStep> = fc
  .record({
    enter: fc.constantFrom(3, 4, 4),
    argsz: mostly(fc.constant(16), fc.constantFrom(8, 12, 15)),
    fd: mostly(fc.constantFrom('e0', 'e1'), fc.constantFrom('m', 'none')),
    reserved: fc.constantFrom(0, 0, 1),
    ask: fc.constantFrom('read', 'info', 'again', 'exit'),
    exit: fc.boolean(),
  })
  .map(({ enter, argsz, fd, reserved, ask, exit }) => (scene) => {
    if (scene.device.name === 'nvme' || scene.device.name === 'igb') return;
    const feature = (number: number, size = 8) => {
      const fields = { argsz: size, flags: number | SET, data0: descriptor(fd), data1: reserved };
      scene.call('VFIO_DEVICE_FEATURE', fields, { fd: DEVICE_FD });
    };
    feature(enter, argsz);
    scene.add(plain('eventfd', 'z'), plain('hear', 'z', SUSPEND_MILLISECONDS));
    if (ask === 'read') scene.read(CONFIG, 4);
    else if (ask === 'info') scene.call('VFIO_DEVICE_GET_INFO', { argsz: 24 }, { fd: DEVICE_FD });
    else if (ask === 'again') feature(3);
    else feature(5);
    for (const each of EVENTFDS) scene.add(plain('read', each, 8));
    if (exit) feature(5);
  });

export const reset: fc.Arbitrary<DeviceStep> = fc.constant((scene) => {
  scene.call('VFIO_DEVICE_RESET', {}, { fd: DEVICE_FD });
});

export const hotReset: fc.Arbitrary<DeviceStep> = fc
  .record({
    info: fc.boolean(),
    argsz: mostly(fc.constantFrom(12, 16, 28, 64), fc.constantFrom(0, 11)),
    flags: mostly(fc.constant(0), edges32, 3),
    count: mostly(fc.constantFrom(0, 1, 1), fc.constantFrom(2, 0x7fffffff, 0xffffffff)),
    fd: mostly(fc.constantFrom('g'), fc.constantFrom('c', 'm', 'e0', 'none', DEVICE_FD), 2),
  })
  .map(({ info, argsz, flags, count, fd }) => (scene) => {
    if (info) scene.call('VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', { argsz, flags }, { fd: DEVICE_FD });
    else
      scene.call(
        'VFIO_DEVICE_PCI_HOT_RESET',
        { argsz, flags, count, fd0: descriptor(fd), fd1: descriptor('g') },
        { fd: DEVICE_FD },
      );
  });

/** Widths are 1, 2, 4 and 8 as flags; the fd is the eventfd whose write becomes a write to the register. */
export const ioeventfd: fc.Arbitrary<DeviceStep> = fc
  .record({
    argsz: mostly(fc.constant(32), fc.constantFrom(0, 31, 40)),
    flags: mostly(fc.constantFrom(1, 2, 4, 4, 8), fc.oneof(fc.constantFrom(0, 3, 16), edges32)),
    offset: mostly(
      fc.constantFrom(0x10n, 0x60n, 0x20n, 0x04n),
      fc.constantFrom(0x11n, 0x1fffn, 0xffffen, 1n << 40n, 6n << 40n, 7n << 40n, (1n << 40n) + 0x1000n),
    ),
    data: fc.constantFrom(1n, 0x12345678n, (1n << 64n) - 1n),
    fd: mostly(
      fc.constant<Value>(descriptor(IO_EVENTFD)),
      fc.constantFrom<Value>(
        ...[number(0xffffffffn), number(0xffffffffn), number(0xffffffffn), number(0xfffffffen), number(999)],
        ...['m', 'c', DEVICE_FD].map(descriptor),
      ),
      3,
    ),
  })
  .map(({ argsz, flags, offset, data, fd }) => (scene) => {
    if (scene.device.name === 'xhci') return;
    // Eight bytes at 4 reach edu's factorial, which may take it minutes.
    if (scene.device.name === 'edu' && offset === 0x04n && flags === 8) return;
    scene.call('VFIO_DEVICE_IOEVENTFD', { argsz, flags, offset, data, fd }, { fd: DEVICE_FD });
    scene.add(plain('write', IO_EVENTFD, '0100000000000000'));
    for (const each of EVENTFDS) scene.add(plain('read', each, 8));
    // What QEMU's nvme has there is not in ours.
    if (scene.device.name !== 'nvme') scene.read(offset, 4);
  });

export const unknownCall: fc.Arbitrary<DeviceStep> = fc
  .constantFrom(0x3b64, 0x3b65, 0x3b6a, 0x3b73, 0x3b76, 0x3b7a, 0x3b80, 0x5401)
  .map((cmd) => (scene) => {
    scene.add({
      verb: 'ioctl',
      fd: DEVICE_FD,
      cmd,
      bytes: new Uint8Array(24),
      patches: [],
      saves: [],
      watches: [],
    });
  });
