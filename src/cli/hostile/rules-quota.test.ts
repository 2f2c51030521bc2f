/**
 * What there is only so much of: quotas of a context with real processes, and the 2^20-1 PASIDs of the
 * system, handed out through contexts of a machine in this process.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finished } from '../../file/work.js';
import { pasidOf } from '../../iommu/pasid.js';
import { Machine } from '../../machine/machine.js';
import { rulesOn } from '../../testkit/actor.js';
import { PAGE, READ_WRITE_FIXED } from '../../testkit/dsa-actor.js';

const PASIDS = 2 ** 20 - 1;
const PASID_QUOTA = 100;
const MAPPING_QUOTA = 50;
const quotas = ['--pasid-quota', String(PASID_QUOTA), '--mapping-quota', String(MAPPING_QUOTA)];

const rule = await rulesOn({ devices: ['edu'], options: quotas });

rule(
  'a context stops at its quota of PASIDs with ENOSPC, whoever of its holders asks, and no other does',
  async (actor) => {
    const [fd, other] = [await actor.do('open /dev/ioasid'), await actor.do('open /dev/ioasid')];
    const child = await actor.fork();
    assert.deepEqual(await child.repeat(60, `alloc ${fd} 0`), new Map([['ok', 60]]));
    const rest = new Map([
      ['ok', 40],
      ['err:ENOSPC', 60],
    ]);
    assert.deepEqual(await actor.repeat(100, `alloc ${fd} 0`), rest);
    await child.refused(`alloc ${fd} 0`, 'ENOSPC', fd, /quota of 100 PASIDs/);
    const pasid = await actor.do(`alloc ${other} 0`);
    await actor.refused(`free ${fd} ${pasid}`, 'ENOENT', fd);
    assert.match(await actor.ask(`info ${fd}`), / pasid_quota=100 pasids=100 /);
    // The death of the one who allocated them frees none: they are the context's.
    await actor.kill(child);
    await actor.refused(`alloc ${fd} 0`, 'ENOSPC', fd);
    const { contexts } = await actor.run.state();
    await actor.words(`free ${fd} ${contexts[0]?.pasids[0]?.pasid}`);
    await actor.words(`alloc ${fd} 0`);
  },
);

rule(
  'a context stops at its quota of mappings with ENOSPC, and what is unmapped can be mapped again',
  async (actor) => {
    const fd = await actor.do('open /dev/ioasid');
    const [one, two] = [await actor.do(`alloc ${fd} 0`), await actor.do(`alloc ${fd} 0`)];
    const memory = await actor.do(`memfd ${PAGE}`);
    const address = await actor.do(`mmap ${PAGE}`);
    const mapFile = (pasid: number) => `mapfile ${fd} ${pasid} ${memory} 0 ${PAGE} 3`;
    assert.deepEqual(
      await actor.repeat(MAPPING_QUOTA - 1, mapFile(one)),
      new Map([['ok', MAPPING_QUOTA - 1]]),
    );
    await actor.words(`map ${fd} ${two} ${address} ${PAGE} ${READ_WRITE_FIXED} 0x1000`);
    await actor.refused(mapFile(two), 'ENOSPC', fd, /quota of 50 mappings/);
    await actor.refused(`map ${fd} ${one} ${address} ${PAGE} 3`, 'ENOSPC', fd, /quota of 50 mappings/);
    await actor.refused(`copy ${fd} ${one} ${two} 0x1000 ${PAGE} 3`, 'ENOSPC', fd, /quota of 50 mappings/);
    assert.match(await actor.ask(`info ${fd}`), / mapping_quota=50 mappings=50$/);
    await actor.words(`unmap ${fd} ${two} 0x1000 ${PAGE}`);
    await actor.words(mapFile(two));
    await actor.words(`free ${fd} ${one}`);
    assert.deepEqual(
      await actor.repeat(MAPPING_QUOTA - 1, mapFile(two)),
      new Map([['ok', MAPPING_QUOTA - 1]]),
    );
  },
);

test('all 2^20-1 PASIDs are handed out, then ENOSPC says so, then all are given back', async () => {
  const machine = await Machine.create({ devices: ['edu'] });
  const quota = 65_536;
  const contexts = Array.from({ length: 16 }, () => machine.ioasid.open(1));
  const seen = new Uint8Array(PASIDS + 1);
  for (const context of contexts) {
    for (let n = 0; n < quota && machine.ioasid.pasids.used < PASIDS; n++) seen[context.alloc(0, 0)]!++;
  }
  assert.equal(seen[0], 0);
  assert.ok(seen.subarray(1).every((count) => count === 1));
  const last = contexts.at(-1)!;
  assert.equal(last.pasids, quota - 1);
  assert.throws(() => last.alloc(0, 0), { code: 'ENOSPC', reason: 'all 1048575 PASIDs are in use' });
  assert.throws(() => machine.ioasid.open(2).alloc(0, 0), {
    code: 'ENOSPC',
    reason: 'all 1048575 PASIDs are in use',
  });
  finished(contexts[0]!.free(pasidOf(1)));
  assert.equal(last.alloc(0, 0), 1);
  for (const context of contexts) finished(context.close());
  assert.equal(machine.snapshot().pasids.used, 0);
});
