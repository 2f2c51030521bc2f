/**
 * Benchmark `sva`: a program under `ioasid run` has a DSA move its own memory, by descriptors that it writes
 * to a work queue one at a time, each awaited; beside memcpy in the same program, in turns with it.
 *
 * Expected is that a move of 1 MiB goes at 1 GB/s at least, which is as many nanoseconds as bytes.
 */
import { fileURLToPath } from 'node:url';
import type { Outcome } from './measurement.js';
import { compare, Passes, type References } from './reference.js';

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const ROUNDS = 11;
const COUNT = 50;

const moves = [
  { what: '4 KiB', size: 2 ** 12 },
  { what: '64 KiB', size: 2 ** 16 },
  { what: '1 MiB', size: 2 ** 20, max: 2 ** 20 },
];

export async function sva(references: References): Promise<Outcome[]> {
  const name = (what: string) => `SVA: ${what} by write(2), beside memcpy`;
  if (!references.hasCompiler) {
    const skipped = 'its client is a C program, and there is no compiler (cc)';
    return moves.map(({ what }) => ({ name: name(what), skipped }));
  }
  const client = references.compile('sva');
  const run = [process.execPath, ioasid, 'run', '--device', 'dsa,idxd=1,ready=1', '--', client];
  const outcomes: Outcome[] = [];
  for (const { what, size, max } of moves) {
    const passes = new Passes([...run, '/dev/dsa/wq0.0', String(size), String(COUNT)]);
    const pass = () => passes.pass();
    const result = await compare(pass, pass, ROUNDS);
    await passes.close();
    outcomes.push({ name: name(what), unit: 'ns', ...result, max });
  }
  return outcomes;
}
