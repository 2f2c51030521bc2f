/** Steps on fault queues: I/O page faults out, responses in. */
import fc from 'fast-check';
import { plain, saved } from './language.js';
import { allocateHwpt, openFaults, SELFTEST_DATA } from './makers.js';
import { edges32, iovas, mostly, oneIn, which, wrongId } from './numbers.js';
import { chosen, packed, type Step } from './scene.js';

export const faultQueue: fc.Arbitrary<Step> = mostly(fc.constant(0), edges32).map(
  (flags) => (scene) => openFaults(scene, flags),
);

/**
 * A page table that delivers faults, on an IOAS or nested; mostly attached at once, for requests without
 * PASID or with one.
 */
export const faultTable: fc.Arbitrary<Step> = fc
  .record({
    which,
    fault: which,
    wrong: wrongId,
    flags: mostly(fc.constantFrom(4, 4, 12), edges32),
    nested: oneIn(3),
    pasid: fc.constantFrom(undefined, 0, 0, 0, 1, 2),
  })
  .map(({ which, fault, wrong, flags, nested, pasid }) => (scene) => {
    const device = scene.pick(scene.devices, which);
    const fault_id = chosen(scene, wrong, fault, scene.id(scene.pick(scene.faults, fault)?.id));
    const parent = nested ? scene.pick([...scene.viommus, ...scene.hwpts], which) : undefined;
    const data_uptr = parent === undefined ? 0 : scene.scratch(packed(4, 0x1234, 0), 0x800);
    const data = parent === undefined ? {} : { data_type: SELFTEST_DATA, data_len: 8, data_uptr };
    const pt_id = scene.id(parent ?? scene.pick(scene.ioases, which));
    const hwpt = saved(
      allocateHwpt(scene, { flags, dev_id: scene.id(device?.idev), pt_id, fault_id, ...data }),
    );
    if (pasid === 0) scene.call('TEST_MOCK_DOMAIN_REPLACE', { id: scene.id(device?.stdev), pt_id: hwpt });
    else if (pasid !== undefined)
      scene.call('TEST_PASID_ATTACH', {
        id: scene.id(device?.stdev),
        pasid: scene.usePasid(pasid),
        pt_id: hwpt,
      });
  });

const fault = fc.record({
  pasid: mostly(fc.constantFrom(0, 0, 0, 1, 2), edges32),
  grpid: fc.nat(3),
  perm: fc.constantFrom(1, 2, 3),
  addr: iovas,
});

export const triggerFault: fc.Arbitrary<Step> = fc
  .record({ which, faults: fc.array(fault, { minLength: 1, maxLength: 4 }) })
  .map(({ which, faults }) => (scene) => {
    const dev_id = scene.id(scene.pick(scene.devices, which)?.idev);
    for (const each of faults) scene.call('TEST_TRIGGER_IOPF', { dev_id, ...each });
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
    cookies: fc.array(mostly(fc.constantFrom(1, 1, 2, 2, 3, 4), fc.constantFrom(0, 5, 0xffffffff)), {
      minLength: 1,
      maxLength: 3,
    }),
    code: mostly(fc.constantFrom(0, 1), fc.constantFrom(2, 0xffffffff)),
    read: fc.boolean(),
    short: oneIn(20),
  })
  .map(({ which, cookies, code, read, short }) => (scene) => {
    const queue = scene.pick(scene.faults, which);
    if (queue !== undefined && read) scene.add(plain('read', queue.fd, 400));
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
