/**
 * `npm run test:rings`: random rings, most of them broken, against the reference.
 *
 *     node dist/testkit/fuzz-rings.js [--count N] [--seed S]
 *
 * Each ring has a seed of its own, which is printed when something is wrong with it: `--count 1 --seed S` is
 * that ring again.
 */
import { parseArgs } from 'node:util';
import { tryRing } from './bad-rings.js';
import { Random } from './random.js';

const { values } = parseArgs({
  options: { count: { type: 'string', default: '1000000' }, seed: { type: 'string', default: '1' } },
});
const first = Number(values.seed);
const count = Number(values.count);
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
