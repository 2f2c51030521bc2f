/** Steps about one queue: its size, base, addresses, eventfds, group and address space. */
import fc from 'fast-check';
import { plain, type Value } from '../language.js';
import { edges32, edges64, mostly } from '../numbers.js';
import {
  BASE,
  enableQueue,
  RING_BYTES,
  RING_SIZE,
  setAddresses,
  setEventfd,
  setUpQueue,
  type VdpaStep,
} from './scene.js';

/** The index of a queue; the last ones are those of no device. */
const index = mostly(fc.nat(2), fc.oneof(fc.constantFrom(1, 2, 3, 4, 0xffff), edges32), 8);

export const setUp: fc.Arbitrary<VdpaStep> = fc.nat(2).map((queue) => (scene) => {
  // The ring of a queue that runs goes on where it is.
  if (queue < scene.device.queues && !scene.started) setUpQueue(scene, queue);
});

export const size: fc.Arbitrary<VdpaStep> = fc
  .record({
    index,
    num: mostly(
      fc.constantFrom(RING_SIZE, RING_SIZE, 1, 2, 64, 256),
      fc.oneof(fc.constantFrom(0, 3, 2048, 0x8000, 0x10000, 0x10010), edges32),
      3,
    ),
  })
  .map((fields) => (scene) => {
    if (fields.num !== RING_SIZE) scene.alive = false;
    scene.call('VHOST_SET_VRING_NUM', fields);
  });

export const base: fc.Arbitrary<VdpaStep> = fc
  .record({ index, num: mostly(fc.constantFrom(0, 0, 1, 5), fc.oneof(fc.constantFrom(0xffff), edges32), 3) })
  .map((fields) => (scene) => {
    scene.alive = false;
    scene.call('VHOST_SET_VRING_BASE', fields);
    scene.call('VHOST_GET_VRING_BASE', { index: fields.index });
  });

export const askBase: fc.Arbitrary<VdpaStep> = index.map((index) => (scene) => {
  scene.call('VHOST_GET_VRING_BASE', { index });
});

const place = mostly(fc.constant(0n), fc.oneof(fc.constantFrom(1n, 2n, 4n, 8n, 0x100000n), edges64), 6);

export const addresses: fc.Arbitrary<VdpaStep> = fc
  .record({
    index,
    flags: mostly(fc.constantFrom(0, 0, 1), fc.oneof(fc.constantFrom(2, 3), edges32), 5),
    shift: fc.tuple(place, place, place, mostly(fc.constant(0n), edges64)),
  })
  .map(({ index, flags, shift: [descriptors, available, used, log] }) => (scene) => {
    scene.alive = false;
    const begin = BASE + BigInt(index % 4) * BigInt(RING_BYTES);
    const shifted = (offset: bigint, by: bigint) => BigInt.asUintN(64, begin + offset + by);
    scene.call('VHOST_SET_VRING_ADDR', {
      index,
      flags,
      desc_user_addr: shifted(0n, descriptors),
      avail_user_addr: shifted(0x400n, available),
      used_user_addr: shifted(0x800n, used),
      log_guest_addr: log,
    });
  });

export const sameAddresses: fc.Arbitrary<VdpaStep> = fc.nat(2).map((queue) => (scene) => {
  if (queue < scene.device.queues) setAddresses(scene, queue);
});

const eventfdCalls = ['VHOST_SET_VRING_KICK', 'VHOST_SET_VRING_CALL', 'VHOST_SET_VRING_ERR'] as const;

export const eventfd: fc.Arbitrary<VdpaStep> = fc
  .record({
    call: fc.nat(2),
    index,
    how: mostly(fc.constantFrom('right', 'right', 'none'), fc.constantFrom('m', 'd', 'closed'), 4),
  })
  .map(({ call, index, how }) => (scene) => {
    const right = `${'kce'[call]}${index}`;
    if (how !== 'right') scene.alive = false;
    const name = how === 'right' ? right : how;
    setEventfd(scene, eventfdCalls[call]!, index, how === 'none' ? undefined : name);
  });

export const enable: fc.Arbitrary<VdpaStep> = fc
  .record({ index, num: mostly(fc.constantFrom(0, 1, 1), edges32, 5) })
  .map((fields) => (scene) => {
    if (fields.num === 0) scene.alive = false;
    enableQueue(scene, fields.index, fields.num);
  });

const queueCalls = [
  'VHOST_VDPA_GET_VRING_GROUP',
  'VHOST_VDPA_GET_VRING_DESC_GROUP',
  'VHOST_VDPA_GET_VRING_SIZE',
  'VHOST_GET_VRING_BUSYLOOP_TIMEOUT',
] as const;

export const askQueue: fc.Arbitrary<VdpaStep> = fc
  .record({ call: fc.constantFrom(...queueCalls), index, num: edges32 })
  .map(
    ({ call, ...fields }) =>
      (scene) =>
        scene.call(call, fields),
  );

export const busyLoop: fc.Arbitrary<VdpaStep> = fc
  .record({ index, num: edges32 })
  .map((fields) => (scene) => {
    scene.call('VHOST_SET_VRING_BUSYLOOP_TIMEOUT', fields);
    scene.call('VHOST_GET_VRING_BUSYLOOP_TIMEOUT', { index: fields.index });
  });

export const groupAsid: fc.Arbitrary<VdpaStep> = fc
  .record({ index: mostly(fc.nat(1), index), num: mostly(fc.nat(1), fc.oneof(fc.constant(2), edges32), 4) })
  .map((fields) => (scene) => {
    if (fields.num !== 0) scene.alive = false;
    scene.call('VHOST_VDPA_SET_GROUP_ASID', fields);
  });

/** A kick that nothing was made available for, or that nobody listens to. */
export const kick: fc.Arbitrary<VdpaStep> = fc.nat(2).map((queue) => (scene) => {
  if (queue < scene.device.queues) scene.add(plain('write', `k${queue}`, '0100000000000000'));
});

/** The argument is cut off by the end of the memory, or there is none. */
export const badArgument: fc.Arbitrary<VdpaStep> = fc
  .record({
    call: fc.constantFrom(
      ...queueCalls,
      'VHOST_SET_VRING_NUM',
      'VHOST_SET_VRING_ADDR',
      'VHOST_GET_VRING_BASE',
    ),
    at: fc.constantFrom<Value>(
      { kind: 'number', value: 0n },
      { kind: 'number', value: 1n },
      { kind: 'number', value: (1n << 64n) - 8n },
    ),
  })
  .map(
    ({ call, at }) =>
      (scene) =>
        scene.call(call, {}, { address: at }),
  );
