/**
 * `npm run test:nvme`: random commands and register accesses of an NVMe controller, against the reference.
 *
 *     node dist/testkit/fuzz-nvme.js [--count N] [--seed S]
 *
 * Each run of STEPS has a seed of its own, which is printed when something is wrong with it: `--count 1
 * --seed S` is that run again.
 */
import { seed as seedOf, count as whole } from '../cli/option-values.js';
import { commandLine } from './command-line.js';
import { NvmeRun } from './nvme-run.js';
import { Random } from './random.js';

const STEPS = 1000;
const { count, seed: first } = commandLine(
  'test:nvme',
  'Random commands and register accesses of an NVMe controller, against the reference.',
)
  .option('--count <n>', 'commands and accesses to try', whole, 1_000_000)
  .option('--seed <s>', 'where to begin', seedOf, 1)
  .parse()
  .opts<{ readonly count: number; readonly seed: number }>();
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
