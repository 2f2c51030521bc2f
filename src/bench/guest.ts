/**
 * Benchmark `guest`: how fast Linux in QEMU reads a disk of ours, beside QEMU's own virtio-blk on the same
 * file, in turns with it (guest/speed.ts). QEMU and the kernel are Debian's, fetched the first time.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Measurement, median, type Outcome } from './measurement.js';

const program = fileURLToPath(new URL('../../qemu/speed.sh', import.meta.url));
const PAIRS = 9;
const QUICK_PAIRS = 3;

/** By the figure of a line: what it is called, and how many of it are one operation. */
const kinds = {
  random: { name: 'guest: 4 KiB random reads, 32 at a time', each: 1 },
  sequential: { name: 'guest: 1 MiB sequential reads', each: 1024 },
} as const;
type Kind = keyof typeof kinds;
type Pair = Readonly<Record<'ours' | 'theirs', Readonly<Record<Kind, number>>>>;

export function guest(quick: boolean): Outcome[] {
  try {
    const pairs = quick ? QUICK_PAIRS : PAIRS;
    const said = execFileSync(program, [String(pairs)], { encoding: 'utf8' });
    const lines = said.trim().split('\n');
    return outcomesOf(lines.map((line) => JSON.parse(line) as Pair));
  } catch (error) {
    const [skipped = ''] = (error as Error).message.split('\n');
    return Object.values(kinds).map(({ name }) => ({ name, skipped }));
  }
}

function outcomesOf(pairs: readonly Pair[]): Measurement[] {
  return (Object.keys(kinds) as Kind[]).map((kind) => {
    const { name, each } = kinds[kind];
    const time = (side: keyof Pair) => (pair: Pair) => (1e9 * each) / pair[side][kind];
    const ratios = pairs.map((pair) => time('ours')(pair) / time('theirs')(pair));
    return {
      name,
      unit: 'ns',
      ours: median(pairs.map(time('ours'))),
      reference: median(pairs.map(time('theirs'))),
      ratio: median(ratios),
      maxRatio: 1,
    };
  });
}
