/**
 * `npm run fuzz`: inputs that lead to code which none before has led to are kept and changed further, for as
 * long as wanted.
 *
 *     node dist/testkit/fuzz/main.js [--target fuse|calls|seccomp] [--seconds 3600] [--seed 1] [--keep DIR]
 *     node dist/testkit/fuzz/main.js --target fuse FILE...
 *
 * It begins with the corpus in tests/fuzz. An input that something is wrong with is written to the current
 * folder, and ends it with status 1; given as FILE it is tried again. `--keep` is where inputs go that have
 * brought something new.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Random } from '../random.js';
import { Coverage } from './coverage.js';
import { mutated } from './mutate.js';
import type { Target } from './target.js';

/** Inputs between two looks at the coverage. */
const BATCH = 128;
const corpus = fileURLToPath(new URL('../../../tests/fuzz/', import.meta.url));
const targets = ['fuse', 'calls', 'seccomp'];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: 'string' },
    seconds: { type: 'string', default: '3600' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'string' },
  },
});

function nameOf(input: Uint8Array): string {
  return createHash('sha256').update(input).digest('hex').slice(0, 16);
}

class Fuzzer {
  readonly #name: string;
  readonly #target: Target;
  readonly #coverage = new Coverage(new URL('../../', import.meta.url).href);
  readonly #inputs: Uint8Array[] = [new Uint8Array(0)];

  constructor(name: string, target: Target) {
    this.#name = name;
    this.#target = target;
  }

  /** For that many seconds. */
  run(seconds: number, random: Random): void {
    const folder = join(corpus, this.#name);
    const begin = existsSync(folder) ? readdirSync(folder) : [];
    for (const file of begin) this.#keepIfNew([readFileSync(join(folder, file))]);
    const deadline = Date.now() + seconds * 1000;
    let tried = 0;
    for (; Date.now() < deadline; tried += BATCH) this.#keepIfNew(this.#batch(random));
    const found = `${this.#inputs.length} inputs lead to ${this.#coverage.size} pieces of code`;
    console.log(`${this.#name}: ${tried} inputs tried, nothing wrong; ${found}`);
  }

  /** @throws what the target does, after the input has been written to a file. */
  attempt(input: Uint8Array): void {
    try {
      this.#target(input);
    } catch (error) {
      const file = `${this.#name}-${nameOf(input)}`;
      writeFileSync(file, input);
      console.error(`${file}:`, error);
      process.exit(1);
    }
  }

  #batch(random: Random): Uint8Array[] {
    const one = () => mutated(random.pick(this.#inputs), random.pick(this.#inputs), random);
    return Array.from({ length: BATCH }, one);
  }

  /** Tries them all; when that brought something new, each half again, to find which did. */
  #keepIfNew(inputs: readonly Uint8Array[]): void {
    for (const input of inputs) this.attempt(input);
    if (this.#coverage.news(inputs.length === 1) === 0) return;
    const half = inputs.length >>> 1;
    if (half === 0) this.#keep(inputs[0]!);
    else for (const some of [inputs.slice(0, half), inputs.slice(half)]) this.#keepIfNew(some);
  }

  #keep(input: Uint8Array): void {
    this.#inputs.push(input);
    if (values.keep === undefined) return;
    const folder = join(values.keep, this.#name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, nameOf(input)), input);
  }
}

for (const name of values.target === undefined ? targets : [values.target]) {
  const { fuzz } = (await import(`./${name}.js`)) as { readonly fuzz: Target };
  const fuzzer = new Fuzzer(name, fuzz);
  if (positionals.length > 0) for (const file of positionals) fuzzer.attempt(readFileSync(file));
  else
    fuzzer.run(
      Number(values.seconds) / (values.target === undefined ? targets.length : 1),
      new Random(Number(values.seed)),
    );
}
