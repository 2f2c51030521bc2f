/**
 * Steps that make of a file the calls that every file has: only real ones answer them, so they are compared
 * under `ioasid run` (`--served`).
 */
import fc from 'fast-check';
import { plain } from '../language.js';
import { mostly } from '../numbers.js';
import { CONFIG, DEVICE_FD, type DeviceStep, placeText, region } from './scene.js';

const anyFile = mostly(fc.constant(DEVICE_FD), fc.constantFrom('g', 'c', 'none'), 4);

export const sync: fc.Arbitrary<DeviceStep> = anyFile.map((fd) => (scene) => scene.add(plain('fsync', fd)));

export const resize: fc.Arbitrary<DeviceStep> = fc
  .record({ fd: anyFile, length: fc.constantFrom(0, 4096, 1) })
  .map(
    ({ fd, length }) =>
      (scene) =>
        scene.add(plain('truncate', fd, length)),
  );

/** With no flags, or as to make a hole. */
export const allocate: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: anyFile,
    mode: mostly(fc.constantFrom(0, 1, 3), fc.constant(0x100), 6),
    offset: fc.constantFrom(0, 4096),
    length: mostly(fc.constantFrom(1, 4096), fc.constant(0), 6),
  })
  .map(
    ({ fd, mode, offset, length }) =>
      (scene) =>
        scene.add(plain('fallocate', fd, mode, offset, length)),
  );

export const seek: fc.Arbitrary<DeviceStep> = fc
  .record({ fd: anyFile, to: fc.constantFrom(0, 4, 4096), whence: fc.constantFrom(0, 1, 2) })
  .map(
    ({ fd, to, whence }) =>
      (scene) =>
        scene.add(plain('lseek', fd, to, whence)),
  );

/** Of a group and a container: they have nothing to read or write. */
export const transferOther: fc.Arbitrary<DeviceStep> = fc
  .record({ fd: fc.constantFrom('g', 'c'), write: fc.boolean(), at: fc.constantFrom(0, 4096) })
  .map(({ fd, write, at }) => (scene) => {
    scene.add(write ? plain('pwrite', fd, at, '01020304') : plain('pread', fd, at, 4));
  });

/** At its own place in the file, which begins at 0. */
export const readNext: fc.Arbitrary<DeviceStep> = fc.constantFrom(0, 4, 8).map((length) => (scene) => {
  // What QEMU's nvme has there is not in ours.
  if (scene.device.name !== 'nvme') scene.add(plain('read', DEVICE_FD, length));
});

export const look: fc.Arbitrary<DeviceStep> = anyFile.map((fd) => (scene) => scene.add(plain('poll', fd)));

export const mapFile: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: anyFile,
    place: fc.constantFrom(region(0), region(0) + 0x1000n, region(2), CONFIG, region(9)),
    length: fc.constantFrom(4096, 8192),
    how: fc.constantFrom('rw', 'r', 'rp', 'rwp'),
  })
  .map(
    ({ fd, place, length, how }) =>
      (scene) =>
        scene.add(plain('mmap', 'map', fd, placeText(place), length, how)),
  );

/** Several parts, of which one may be past the end of what is there. */
export const parts: fc.Arbitrary<DeviceStep> = fc
  .record({
    place: fc.constantFrom(
      CONFIG,
      CONFIG + 0xf8n,
      CONFIG + 0xffcn,
      region(0),
      region(0) + 0xffff8n,
      region(3),
    ),
    lengths: fc.array(fc.constantFrom(0, 1, 2, 4, 8), { minLength: 1, maxLength: 5 }),
  })
  .map(({ place, lengths }) => (scene) => {
    if (scene.device.name !== 'nvme' || place >= CONFIG)
      scene.add(plain('preadv', DEVICE_FD, placeText(place), ...lengths));
  });
