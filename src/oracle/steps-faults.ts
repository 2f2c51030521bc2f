/** Steps on fault queues: I/O page faults out, responses in. */
import fc from 'fast-check';
import { plain } from './language.js';
import { allocateHwpt, openFaults } from './makers.js';
import { edges32, iovas, mostly, oneIn, which, wrongId } from './numbers.js';
import { chosen, packed, type Step } from './scene.js';

export const faultQueue: fc.Arbitrary<Step> = mostly(fc.constant(0), edges32).map((flags) => (scene) => openFaults(scene, flags));

export const faultTable: fc.Arbitrary<Step> = fc
  .record({ which, fault: which, wrong: wrongId, flags: mostly(fc.constantFrom(4, 4, 12), edges32) })
  .map(({ which, fault, wrong, flags }) => (scene) => {
    const dev_id = scene.id(scene.pick(scene.devices, which)?.idev);
    const fault_id = chosen(scene, wrong, fault, scene.id(scene.pick(scene.faults, fault)?.id));
    allocateHwpt(scene, { flags, dev_id, pt_id: scene.id(scene.pick(scene.ioases, which)), fault_id });
  });

export const triggerFault: fc.Arbitrary<Step> = fc
  .record({ which, pasid: mostly(fc.constantFrom(0, 0, 1, 2), edges32), grpid: fc.nat(3), perm: fc.constantFrom(1, 2, 3), addr: iovas })
  .map(({ which, pasid, grpid, perm, addr }) => (scene) => {
    scene.call('TEST_TRIGGER_IOPF', { dev_id: scene.id(scene.pick(scene.devices, which)?.idev), pasid, grpid, perm, addr });
  });

export const readFaults: fc.Arbitrary<Step> = fc
  .record({ which, length: mostly(fc.constantFrom(40, 80, 400), fc.constantFrom(1, 39, 48)) })
  .map(({ which, length }) => (scene) => {
    const queue = scene.pick(scene.faults, which);
    if (queue !== undefined) scene.add(plain('read', queue.fd, length));
  });

export const answerFaults: fc.Arbitrary<Step> = fc
  .record({
    which,
    cookies: fc.array(fc.nat(4), { minLength: 1, maxLength: 3 }),
    code: mostly(fc.constantFrom(0, 1), fc.constantFrom(2, 0xffffffff)),
    short: oneIn(20),
  })
  .map(({ which, cookies, code, short }) => (scene) => {
    const queue = scene.pick(scene.faults, which);
    const bytes = packed(4, ...cookies.flatMap((cookie) => [cookie, code]));
    if (queue !== undefined) scene.add(plain('write', queue.fd, short ? bytes.slice(2) : bytes));
  });

export const pollFaults: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  const queue = scene.pick(scene.faults, which);
  if (queue !== undefined) scene.add(plain('poll', queue.fd));
});

/** A queue has no offsets, and takes no ioctls. */
export const misuseFaults: fc.Arbitrary<Step> = fc
  .record({ which, offset: fc.constantFrom(0, 40, 8) })
  .map(({ which, offset }) => (scene) => {
    const queue = scene.pick(scene.faults, which);
    if (queue === undefined) return;
    scene.add(plain('pread', queue.fd, offset, 40));
  });

export const closeFaults: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  const queue = scene.pick(scene.faults, which);
  if (queue === undefined) return;
  scene.add(plain('close', queue.fd));
  scene.faults.splice(scene.faults.indexOf(queue), 1);
});
