/** What `ls` lists: all of it while it is little, and never more than is soon done. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Machine } from './machine.js';
import { snapshotOf } from './snapshot.js';

const PAGE = 4096;

test('a snapshot lists as much as it may, and of the rest how much it is', async () => {
  const context = fc.array(fc.record({ mappings: fc.nat(4), authorized: fc.boolean() }), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(fc.array(context, { maxLength: 4 }), fc.nat(40), async (contexts, listed) => {
      const machine = await Machine.create({ devices: ['dsa'] });
      const program = new InProcess(machine, { run: false });
      const { fd } = program.createMemfd(PAGE);
      const device = VfioDeviceFile.open(program, 'vfio0');
      let authorized = 0;
      for (const pasids of contexts) {
        const ioasid = Ioasid.open(program);
        for (const each of pasids) {
          const pasid = ioasid.alloc();
          for (let n = 0; n < each.mappings; n++)
            ioasid.mapFile(pasid, fd, 0, PAGE, { iova: (n + 1) * PAGE });
          if (!each.authorized) continue;
          device.authorize(ioasid, pasid);
          authorized++;
        }
      }
      const { contexts: seen, more, devices } = snapshotOf(machine, listed);
      const pasids = seen.flatMap((each) => each.pasids);
      const mappings = pasids.flatMap((each) => each.mappings);
      const given = devices.flatMap(({ authorizations }) => authorizations);
      const all = contexts
        .flat()
        .reduce((sum, each) => sum + 1 + each.mappings, contexts.length + authorized);
      assert.equal(seen.length + pasids.length + mappings.length + given.length, Math.min(all, listed));
      assert.equal(seen.length + more, contexts.length);
      assert.equal(given.length + devices[0]!.more, authorized);
      for (const [n, each] of seen.entries())
        assert.equal(each.pasids.length + each.more, contexts[n]!.length);
      const mapped = contexts.flat().map((each) => each.mappings);
      if (more === 0 && seen.every((each) => each.more === 0))
        assert.deepEqual(
          pasids.map((each) => each.mappings.length + each.more),
          mapped,
        );
    }),
    { numRuns: 60 },
  );
});
