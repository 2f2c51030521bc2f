/** Steps that attach page tables to PASIDs of a mock device. */
import fc from 'fast-check';
import { saved } from './language.js';
import { mostly, oneIn, which, wrongId } from './numbers.js';
import type { Step } from './scene.js';

export const pasids = mostly(
  fc.constantFrom(1, 2, 3, 1024),
  fc.constantFrom(0, 0xfffff, 0x100000, 0xffffffff),
);

export const pasid: fc.Arbitrary<Step> = fc
  .record({
    which,
    table: which,
    pasid: pasids,
    op: fc.constantFrom('ATTACH', 'ATTACH', 'REPLACE', 'DETACH', 'CHECK'),
    wrong: wrongId,
    none: oneIn(3),
  })
  .map(({ which, table, pasid, op, wrong, none }) => (scene) => {
    const id = scene.id(scene.pick(scene.devices, which)?.stdev);
    const hwpt =
      table % 3 === 0
        ? undefined
        : scene.pick(table % 3 === 1 && scene.nested.length > 0 ? scene.nested : scene.hwpts, table);
    const pt_id = wrong ? scene.anyId(table) : hwpt === undefined ? scene.pageTable(table) : saved(hwpt);
    // PASID 0 is the device's own attachment, which detaching would take from the mock device.
    const used = op === 'DETACH' && pasid === 0 ? 1 : pasid;
    if (op === 'DETACH') scene.call('TEST_PASID_DETACH', { id, pasid: scene.usePasid(used) });
    else if (op === 'CHECK') scene.call('TEST_PASID_CHECK_HWPT', { id, pasid, hwpt_id: none ? 0 : pt_id });
    else
      scene.call(
        `TEST_PASID_${op}`,
        { id, pasid: scene.usePasid(used), pt_id },
        { saves: { [scene.name('auto')]: 'pt_id' } },
      );
  });
