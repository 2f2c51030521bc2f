/**
 * `npm run fuzz`: inputs that lead to code which none before has led to are kept and changed further, for as
 * long as wanted.
 *
 *     node dist/testkit/fuzz/main.js [--target fuse|calls|seccomp] [--seconds 3600] [--seed 1] [--keep DIR]
 *     node dist/testkit/fuzz/main.js --target fuse FILE...
 *
 * It begins with the corpus in tests/fuzz. An input that something is wrong with is written to the current
 * folder, and ends it with status 1; given as FILE it is tried again. `--keep` is where inputs go that have
 * brought something new; with `--seconds 0`, those of the corpus that are needed.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Option } from 'commander';
import { count, seed as seedOf } from '../../cli/option-values.js';
import { commandLine } from '../command-line.js';
import { Random } from '../random.js';
import { Coverage } from './coverage.js';
import { mutated } from './mutate.js';
import type { Target } from './target.js';

/** Inputs between two looks at the coverage. */
const BATCH = 128;
const corpus = fileURLToPath(new URL('../../../tests/fuzz/', import.meta.url));
const targets = ['fuse', 'calls', 'seccomp'];

interface Options {
  readonly target?: string;
  readonly seconds: number;
  readonly seed: number;
  readonly keep?: string;
}

const asked = commandLine('fuzz', 'Changes the inputs that lead to code which none before has led to.')
  .argument('[file...]', 'inputs of one target, to be tried alone')
  .addOption(new Option('--target <name>', 'the only one to fuzz').choices(targets))
  .option('--seconds <n>', 'how long, for all targets together', count, 3600)
  .option('--seed <s>', 'of the changes', seedOf, 1)
  .option('--keep <dir>', 'where inputs go that have brought something new')
  .parse();
const values = asked.opts<Options>();
if (asked.args.length > 0 && values.target === undefined)
  asked.error(`error: whose input ${asked.args[0]} is, --target says`);

function nameOf(input: Uint8Array): string {
  return createHash('sha256').update(input).digest('hex').slice(0, 16);
}

class Fuzzer {
  readonly #name: string;
  readonly #target: Target;
  readonly #coverage: Coverage;
  readonly #inputs: Uint8Array[] = [new Uint8Array(0)];

  constructor(name: string, target: Target, coverage: Coverage) {
    this.#name = name;
    this.#target = target;
    this.#coverage = coverage;
    // What runs before the first input.
    coverage.news(true);
  }

  /** For that many seconds. */
  run(seconds: number, random: Random): void {
    for (const input of this.#corpus()) this.#keepIfNew([input]);
    const deadline = Date.now() + seconds * 1000;
    let tried = 0;
    for (; Date.now() < deadline; tried += BATCH) this.#keepIfNew(this.#batch(random));
    console.log(`${this.#name}: ${tried} inputs tried, nothing wrong; ${this.#inputs.length} were kept`);
    for (const { folder, lines, run } of this.#coverage.shares())
      console.log(`  ${folder}: ${run} of ${lines} lines`);
  }

  /** Short ones first: what a longer one adds nothing to is not kept. */
  #corpus(): Uint8Array[] {
    const folder = join(corpus, this.#name);
    const files = existsSync(folder) ? readdirSync(folder) : [];
    return files.map((file) => readFileSync(join(folder, file))).sort((a, b) => a.length - b.length);
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

/** In a process of its own, so that what it covers is its own. */
function spawnTarget(name: string): void {
  const seconds = String(Math.ceil(values.seconds / targets.length));
  const options = ['--target', name, '--seconds', seconds, '--seed', String(values.seed)];
  const keep = values.keep === undefined ? [] : ['--keep', values.keep];
  const { status } = spawnSync(process.execPath, [process.argv[1]!, ...options, ...keep], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}

if (values.target === undefined) for (const name of targets) spawnTarget(name);
else {
  // Before the code is loaded, so that all of it counts.
  const coverage = new Coverage(new URL('../../', import.meta.url).href);
  const { fuzz } = (await import(`./${values.target}.js`)) as { readonly fuzz: Target };
  const fuzzer = new Fuzzer(values.target, fuzz, coverage);
  if (asked.args.length > 0) for (const file of asked.args) fuzzer.attempt(readFileSync(file));
  else fuzzer.run(values.seconds, new Random(values.seed));
}
