/**
 * `npm run test:nvme`: random commands and register accesses of an NVMe controller, against the reference.
 *
 *     node dist/testkit/fuzz-nvme.js [--count N] [--seed S]
 *
 * Each run of STEPS has a seed of its own, which is printed when something is wrong with it: `--count 1
 * --seed S` is that run again.
 */
import { parseArgs } from 'node:util';
import { NvmeRun } from './nvme-run.js';
import { Random } from './random.js';

const STEPS = 1000;
const { values } = parseArgs({
  options: { count: { type: 'string', default: '1000000' }, seed: { type: 'string', default: '1' } },
});
const first = Number(values.seed);
const count = Number(values.count);
let tried = 0;
for (let seed = first; tried < count; seed++) {
  const run = new NvmeRun(new Random(seed));
  try {
    await run.run(STEPS);
  } catch (error) {
    console.error(`seed ${seed}, step ${run.tried}:`, error);
    process.exit(1);
  } finally {
    run.close();
  }
  tried += run.tried;
}
console.log(
  `${tried} commands, register accesses and resets from seed ${first} on, as the reference has them`,
);
