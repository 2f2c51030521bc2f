import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { A, address, D, P, PAGE, PASID, PS, RW, setup, US } from '../testkit/two-stages.js';
import { READ, WRITE } from './access.js';
import { vtdSteps } from './vtd-walk-view.js';

const bits = fc.subarray([P, RW, US, A, D, PS, P, US]);
const entries = fc.array(fc.tuple(fc.nat(3), fc.nat(2), fc.integer({ min: 0, max: 34 }), bits), {
  maxLength: 8,
});

test('a walk that is shown is refused for the reason of the DMA that follows, and changes no entry', () => {
  fc.assert(
    fc.property(entries, fc.nat(2), fc.boolean(), fc.option(fc.nat(5)), (stored, page, write, closed) => {
      const { iommu, requester, table, ram, set, chain, unmapSecond, mapSecond } = setup();
      chain();
      for (const [at, index, to, flags] of stored)
        set(
          at,
          index,
          flags.reduce((entry, bit) => entry | bit, address(to)),
        );
      if (closed !== null) {
        unmapSecond(closed);
        if (write) mapSecond(closed, closed, READ);
      }
      const before = ram.bytes.slice();
      const steps = vtdSteps(iommu, table, BigInt(page * PAGE), write ? WRITE : READ);
      assert.deepEqual(ram.bytes, before);
      const said = steps.find(({ passed }) => passed === false)?.says;
      const act = write ? requester.write : requester.read;
      const reason = act.call(requester, PASID, page * PAGE, new Uint8Array(8), 0, 8)?.reason;
      assert.equal(said, reason?.replace(/^iova 0x[0-9a-f]+ of PASID 7: /, ''));
    }),
    { numRuns: 500 },
  );
});
