/**
 * Benchmark `memmove`: a program under `ioasid run` has a DSA move 1 GiB from a memfd to another one, beside
 * memcpy between them in the same program, in turns with it (bench/memmove.c).
 */
import { underRun, withoutCompiler } from './c-driver.js';
import type { Outcome } from './measurement.js';
import { compare, Passes, type References } from './reference.js';

const name = 'dsa memmove of 1 GiB, 2 MiB each, memfd to memfd';
const SIZE = 2 << 20;
const BYTES = 2 ** 30;
const QUICK_BYTES = 2 ** 27;
const ROUNDS = 9;
/** 0.8 times as fast as memcpy, at least. */
const MAX_RATIO = 1 / 0.8;

export async function memmove(references: References, quick: boolean): Promise<Outcome[]> {
  const skipped = withoutCompiler(name, references);
  if (skipped !== undefined) return [skipped];
  const bytes = quick ? QUICK_BYTES : BYTES;
  const client = [references.compile('memmove'), String(SIZE), String(bytes)];
  const passes = new Passes(underRun('dsa,ready=1', client));
  // The reference, whose turn is first, is a pass of the same program.
  const pass = () => passes.pass();
  const result = await compare(pass, pass, ROUNDS, 1);
  await passes.close();
  return [{ name, unit: 'ns', ...result, maxRatio: MAX_RATIO }];
}
