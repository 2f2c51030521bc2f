/**
 * Steps of programs that have mixed something up: a call on another file, its number with a size, a pointer
 * to nothing, a name that is none, an eventfd that was closed meanwhile, a second file of the device.
 */
import fc from 'fast-check';
import { address, number, plain, type Value } from '../language.js';
import { mostly, oneIn } from '../numbers.js';
import {
  DEVICE_FD,
  type DeviceScene,
  type DeviceStep,
  EVENTFDS,
  getDeviceFd,
  MEMORY_BYTES,
  NAMES_BYTES,
} from './scene.js';

const STRUCT_BYTES = 24;
/** Where a name that is made up lies. */
const MADE_UP_AT = 0x100;

/** `_IO(';', 100 + n)`. */
const vfioCall = (n: number) => 0x3b64 + n;
/** Calls on each kind of file that take a struct, but BIND_IOMMUFD and SET_CONTAINER. */
const calls = {
  device: [7, 8, 9, 10, 12, 13, 16, 17].map(vfioCall),
  container: [12, 13, 14, 17].map(vfioCall),
  group: [3, 6].map(vfioCall),
} as const;
const anyCall = fc.constantFrom(
  ...calls.device,
  ...calls.container,
  ...calls.group,
  ...[0, 1, 5, 11].map(vfioCall),
);
const files = { device: DEVICE_FD, container: 'c', group: 'g' } as const;
const kinds = fc.constantFrom('device', 'device', 'container', 'group' as const);

function ask(scene: DeviceScene, fd: string, cmd: number, size = 0, at?: Value): void {
  const bytes = new Uint8Array(STRUCT_BYTES);
  bytes[0] = size;
  const line = { verb: 'ioctl', fd, cmd: cmd >>> 0, bytes, patches: [], saves: [], watches: [] } as const;
  scene.add(at === undefined ? line : { ...line, address: at });
}

/** A call of one kind of file on another. */
export const otherFile: fc.Arbitrary<DeviceStep> = fc
  .record({
    cmd: anyCall,
    fd: fc.constantFrom(DEVICE_FD, 'c', 'g', 'e0', 'm'),
    size: fc.constantFrom(0, 8, 24),
  })
  .map(
    ({ cmd, fd, size }) =>
      (scene) =>
        ask(scene, fd, cmd, size),
  );

/** VFIO's numbers have neither: this is as headers of another interface would make them. */
export const withSize: fc.Arbitrary<DeviceStep> = fc
  .record({ cmd: anyCall, bits: fc.constantFrom(0xc0180000, 0x40180000, 0x80180000, 0x00180000) })
  .chain(({ cmd, bits }) => kinds.map((kind) => ({ cmd: cmd | bits, fd: files[kind] })))
  .map(
    ({ cmd, fd }) =>
      (scene) =>
        ask(scene, fd, cmd, STRUCT_BYTES),
  );

const pointers = fc.constantFrom<Value>(
  number(0),
  number(8),
  number((1n << 64n) - 8n),
  number(1n << 63n),
  address('s', NAMES_BYTES),
  address('s', NAMES_BYTES - 8),
  address('b', MEMORY_BYTES),
);

export const badPointer: fc.Arbitrary<DeviceStep> = kinds
  .chain((kind) =>
    fc.record({ fd: fc.constant(files[kind]), cmd: fc.constantFrom(...calls[kind]), at: pointers }),
  )
  .map(
    ({ fd, cmd, at }) =>
      (scene) =>
        ask(scene, fd, cmd, 0, at),
  );

/** What comes before and after a device's name, or in place of it. */
const names = fc.constantFrom<(name: string) => string>(
  (name) => `${name}\n`,
  (name) => `${name} `,
  (name) => `${name}   `,
  (name) => ` ${name}`,
  (name) => name.slice(0, -1),
  (name) => name.slice(5),
  (name) => `${name}0`,
  (name) => `${name} vf_token=`,
  (name) => `${name} vf_token=00000000-0000-0000-0000-000000000000`,
  (name) => `${name}vf_token=00000000-0000-0000-0000-000000000000`,
  (name) => `${name} option=1`,
  (name) => name.replace(/..\..$/, '1f.7'),
  () => '',
);

export const otherName: fc.Arbitrary<DeviceStep> = fc
  .record({ change: names, close: oneIn(2) })
  .map(({ change, close }) => (scene) => {
    const name = Buffer.from(`${change(scene.device.address)}\0`).toString('hex');
    scene.add(plain('fill', 's', MADE_UP_AT, name));
    getDeviceFd(scene, 'named', 'g', MADE_UP_AT);
    if (close) scene.add(plain('close', 'named'));
  });

/** An eventfd loses its name, or all its descriptors, and there is another of that name. */
export const otherEventfd: fc.Arbitrary<DeviceStep> = fc
  .record({
    which: fc.constantFrom(...EVENTFDS),
    how: fc.constantFrom('dup', 'close', 'close', 'again', 'write' as const),
  })
  .map(({ which, how }) => (scene) => {
    if (how === 'write') scene.add(plain('write', which, '0300000000000000'));
    if (how === 'dup') scene.add(plain('dup', which, which));
    if (how === 'close') scene.add(plain('close', which));
    if (how === 'close' || how === 'again') scene.add(plain('eventfd', which));
    scene.add(plain('read', which, 8));
  });

/** Another file of the device: what was set up through one is there through the other. */
export const secondFile: fc.Arbitrary<DeviceStep> = mostly(fc.constant(true), fc.constant(false), 2).map(
  (close) => (scene) => {
    getDeviceFd(scene);
    if (close) scene.add(plain('close', DEVICE_FD));
  },
);
