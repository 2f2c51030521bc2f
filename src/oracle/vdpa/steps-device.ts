/** Steps about the device as a whole: owner, features, status, configuration space, suspend, reset. */
import fc from 'fast-check';
import { number, plain, type Value } from '../language.js';
import type { LayoutName } from '../layouts.js';
import { edges32, edges64, mostly, oneIn } from '../numbers.js';
import { ACCESS_PLATFORM, VERSION_1 } from './machine.js';
import {
  BACKEND,
  memory,
  own,
  RUNNING,
  setConfig,
  setStatus,
  startDevice,
  unmapAll,
  type VdpaStep,
} from './scene.js';

/** An offset in the memory that no answer shows. */
const UNSEEN = 0x1f000;
/** Where nothing is, or not enough. */
const badAddress: fc.Arbitrary<Value> = fc.constantFrom(number(0), number(1), number((1n << 64n) - 4n));

export const setOwner: fc.Arbitrary<VdpaStep> = fc.constant(own);

const asking = [
  'VHOST_VDPA_GET_DEVICE_ID',
  'VHOST_VDPA_GET_STATUS',
  'VHOST_GET_BACKEND_FEATURES',
  'VHOST_VDPA_GET_CONFIG_SIZE',
  'VHOST_VDPA_GET_VRING_NUM',
  'VHOST_VDPA_GET_VQS_COUNT',
  'VHOST_VDPA_GET_GROUP_NUM',
  'VHOST_VDPA_GET_AS_NUM',
] as const;

export const ask: fc.Arbitrary<VdpaStep> = fc.tuple(fc.constantFrom(...asking), oneIn(12), badAddress).map(
  ([name, bad, address]) =>
    (scene) =>
      scene.call(name, {}, bad ? { address } : {}),
);

/** What differs by device: asked for, and not looked at. */
export const askUnseen: fc.Arbitrary<VdpaStep> = fc
  .constantFrom('VHOST_GET_FEATURES', 'VHOST_VDPA_GET_IOVA_RANGE')
  .map((name) => (scene) => scene.call(name, {}, { address: memory(UNSEEN) }));

export const features: fc.Arbitrary<VdpaStep> = fc
  .record({
    own: fc.boolean(),
    needed: mostly(
      fc.constant(VERSION_1 | ACCESS_PLATFORM),
      fc.constantFrom(0n, VERSION_1, ACCESS_PLATFORM),
      3,
    ),
    // Nobody offers these.
    more: mostly(fc.constant(0n), fc.constantFrom(1n << 60n, 1n << 40n, 1n << 63n), 4),
  })
  .map(({ own, needed, more }) => (scene) => {
    const features = (own ? scene.device.features & ~(VERSION_1 | ACCESS_PLATFORM) : 0n) | needed | more;
    scene.call('VHOST_SET_FEATURES', { features });
  });

export const backendFeatures: fc.Arbitrary<VdpaStep> = mostly(
  fc.constantFrom(0n, BACKEND, 2n, 0xan, 0xen, 0x16n, 0x3en, 0x7en, 0x100n, 0x13en),
  fc.oneof(fc.constantFrom(1n, 0x80n, 0x88n, 0x200n, 0x1ffn), edges64),
  6,
).map((features) => (scene) => {
  scene.call('VHOST_SET_BACKEND_FEATURES', { features });
});

export const status: fc.Arbitrary<VdpaStep> = mostly(
  fc.constantFrom(1, 3, 0x0b, 0x0f, 0x0f),
  fc.constantFrom(0, 0, 2, 4, 7, 8, 0x10, 0x20, 0x40, 0x4f, 0x80, 0x8f, 0xff),
  2,
).map((status) => (scene) => {
  // The simulators resume by that.
  if (scene.suspended && status !== 0) return;
  // A bit that a device sets by itself is none of these answers' business.
  if ((status & RUNNING) !== RUNNING) scene.alive = false;
  setStatus(scene, status);
  scene.call('VHOST_VDPA_GET_STATUS');
});

export const reset: fc.Arbitrary<VdpaStep> = fc.boolean().map((again) => (scene) => {
  setStatus(scene, 0);
  if (!again) return;
  unmapAll(scene);
  startDevice(scene);
});

const lengths = mostly(
  fc.integer({ min: 1, max: 24 }),
  fc.oneof(fc.constantFrom(0, 96, 97, 4096), edges32),
  8,
);

export const readConfig: fc.Arbitrary<VdpaStep> = fc
  .record({ off: mostly(fc.nat(96), edges32), len: lengths })
  .map(({ off, len }) => (scene) => {
    const { config, alike } = scene.device;
    const shown = off + len > config || alike.some(([from, to]) => off >= from && off + len <= to);
    // What differs by device is read into memory that nobody looks at.
    if (!shown) scene.add(plain('fill', 'b', UNSEEN, header(off, len)));
    scene.call('VHOST_VDPA_GET_CONFIG', { off, len }, shown ? {} : { address: memory(UNSEEN) });
  });

function header(off: number, len: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(off, 0);
  bytes.writeUInt32LE(len, 4);
  return bytes.toString('hex');
}

/** The address of a network device, which can be written; a disk has nothing of the kind. */
const ADDRESS_BYTES = 6;

export const writeConfig: fc.Arbitrary<VdpaStep> = fc
  .record({ off: mostly(fc.nat(5), fc.oneof(fc.nat(100), edges32), 4), len: lengths, byte: fc.nat(255) })
  .map(({ off, len, byte }) => (scene) => {
    const { name, config } = scene.device;
    // Both leave what is behind the address as it is, in their own way.
    const inside = name === 'net' && off + len > ADDRESS_BYTES && off + len <= config;
    const used = inside ? Math.max(0, ADDRESS_BYTES - off) : len;
    setConfig(scene, off, new Uint8Array(Math.min(used, 200)).fill(byte), used);
    if (name === 'net') scene.call('VHOST_VDPA_GET_CONFIG', { off: 0, len: ADDRESS_BYTES });
  });

export const configCall: fc.Arbitrary<VdpaStep> = mostly(
  fc.constantFrom('cfg', 'none'),
  fc.constantFrom('m', 'd', 'closed'),
  4,
).map((name) => (scene) => {
  const fd: Value = name === 'none' ? number(0xffffffffn) : { kind: 'descriptor', name };
  scene.call('VHOST_VDPA_SET_CONFIG_CALL', { fd });
});

export const suspend: fc.Arbitrary<VdpaStep> = fc.constant((scene) => {
  scene.call('VHOST_VDPA_SUSPEND');
  scene.alive = false;
  scene.suspended = true;
});

export const resume: fc.Arbitrary<VdpaStep> = fc.constant((scene) => {
  scene.call('VHOST_VDPA_RESUME');
  scene.suspended = false;
});

/** What vhost's other backends have, what nobody has, and what is about workers, which there are none of. */
const others = [
  'VHOST_RESET_OWNER',
  'VHOST_SET_MEM_TABLE',
  'VHOST_SET_LOG_BASE',
  'VHOST_SET_LOG_FD',
  'VHOST_SET_VRING_ENDIAN',
  'VHOST_GET_VRING_ENDIAN',
  'VHOST_GET_FEATURES_ARRAY',
  'VHOST_SET_FEATURES_ARRAY',
  'VHOST_SET_FORK_FROM_OWNER',
  'VHOST_GET_FORK_FROM_OWNER',
] as const satisfies readonly LayoutName[];

export const otherCall: fc.Arbitrary<VdpaStep> = fc
  .tuple(fc.constantFrom(...others), mostly(fc.nat(3), edges32, 4))
  .map(([name, first]) => (scene) => {
    const line = scene.lines.length;
    scene.call(name);
    const { bytes } = scene.lines[line] as { bytes: Uint8Array };
    if (bytes.length >= 4) new DataView(bytes.buffer).setUint32(0, first, true);
  });

/** Any number with vhost's type, and some without. */
export const unknownCall: fc.Arbitrary<VdpaStep> = fc
  .record({
    direction: fc.nat(3),
    size: mostly(fc.constantFrom(0, 4, 8, 40), fc.constantFrom(1, 2, 72, 4096)),
    type: mostly(fc.constant(0xaf), fc.constantFrom(0x3b, 0x54, 0)),
    nr: fc.nat(255),
    first: mostly(fc.nat(3), fc.constantFrom(99, 0xffffffff), 5),
  })
  .map(({ direction, size, type, nr, first }) => (scene) => {
    const cmd = ((direction << 30) | (size << 16) | (type << 8) | nr) >>> 0;
    const bytes = new Uint8Array(Math.max(4, Math.min(size, 256)));
    new DataView(bytes.buffer).setUint32(0, first, true);
    scene.add({ verb: 'ioctl', fd: 'd', cmd, bytes, patches: [], saves: [], watches: [] });
  });

/** Files: a second open, a close and what is then left, calls that such files do not have. */
export const files: fc.Arbitrary<VdpaStep> = fc
  .constantFrom('open', 'dup', 'close', 'again', 'poll', 'read', 'lseek', 'mmap')
  .map((what) => (scene) => {
    const { path } = scene.device;
    if (what === 'open') scene.add(plain('open', 'other', path));
    else if (what === 'dup') scene.add(plain('dup', 'twin', 'd'));
    else if (what === 'poll') scene.add(plain('poll', 'd'));
    else if (what === 'read') scene.add(plain('read', 'd', 72));
    else if (what === 'lseek') scene.add(plain('lseek', 'd', 0, 0));
    else if (what === 'mmap') scene.add(plain('mmap', 'x', 'd', 0, 4096, 'rw'));
    else {
      scene.add(plain('close', 'd'));
      scene.alive = false;
      scene.owned = scene.started = false;
      if (what === 'again') scene.add(plain('open', 'd', path));
    }
  });
