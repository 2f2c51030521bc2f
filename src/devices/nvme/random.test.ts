/** The controller beside a reference, on random commands, register accesses, garbage and resets. */
import { test } from 'node:test';
import { NvmeRun } from '../../testkit/nvme-run.js';
import { Random } from '../../testkit/random.js';

test('in random sequences the controller does as the reference, and touches nothing else', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const run = new NvmeRun(new Random(seed));
    await run.run(300).finally(() => run.close());
  }
});
