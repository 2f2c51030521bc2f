/**
 * `npm run test:rings`: random rings, most of them broken, against the reference.
 *
 *     node dist/testkit/fuzz-rings.js [--count N] [--seed S]
 *
 * Each ring has a seed of its own, which is printed when something is wrong with it: `--count 1 --seed S` is
 * that ring again.
 */
import { seed as seedOf, count as whole } from '../cli/option-values.js';
import { tryRing } from './bad-rings.js';
import { commandLine } from './command-line.js';
import { Random } from './random.js';

const { count, seed: first } = commandLine(
  'test:rings',
  'Random rings, most of them broken, against the reference.',
)
  .option('--count <n>', 'rings to try, of either layout', whole, 1_000_000)
  .option('--seed <s>', 'where to begin', seedOf, 1)
  .parse()
  .opts<{ readonly count: number; readonly seed: number }>();
let broken = 0;
for (let seed = first; seed < first + count; seed++) {
  try {
    for (const packed of [false, true]) if (tryRing(new Random(seed), packed).broken) broken++;
  } catch (error) {
    console.error(`seed ${seed}:`, error);
    process.exit(1);
  }
}
console.log(`${2 * count} rings from seed ${first} on, half split and half packed; ${broken} of them broken`);
