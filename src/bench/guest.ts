/**
 * Benchmark `guest`: how fast Linux in QEMU reads a disk of ours, beside QEMU's own virtio-blk on the same
 * file, in turns with it (guest/speed.ts); and how fast a program reads by an NVMe controller of ours, beside
 * Linux by QEMU's. QEMU and the kernel are Debian's, fetched the first time.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { median, type Outcome } from './measurement.js';
import { nvmeRead } from './nvme.js';
import type { References } from './reference.js';

const program = fileURLToPath(new URL('../../qemu/speed.sh', import.meta.url));
const TURNS = 9;
const QUICK_TURNS = 3;

/** By the figure of a line: what it is called, and how many of it are one operation. */
const kinds = {
  random: { name: 'guest: 4 KiB random reads, 32 at a time', each: 1 },
  sequential: { name: 'guest: 1 MiB sequential reads', each: 1024 },
} as const;
type Kind = keyof typeof kinds;
type Turn = Readonly<Record<'ours' | 'theirs' | 'nvme', Readonly<Record<Kind, number>>>>;
/**
 * Three times as many as by QEMU's NVMe, whose driver is in a guest without KVM. It is what a test of a
 * driver has of a program in place of a guest, more than what the one controller has of the other.
 */
const NVME = { name: "NVMe: a program on ours, TCG guest on QEMU's", maxRatio: 1 / 3 };

export async function guest(references: References, quick: boolean): Promise<Outcome[]> {
  try {
    const said = execFileSync(program, [String(quick ? QUICK_TURNS : TURNS)], { encoding: 'utf8' });
    const turns = said.trim().split('\n');
    return await outcomesOf(
      turns.map((line) => JSON.parse(line) as Turn),
      references,
    );
  } catch (error) {
    const [skipped = ''] = (error as Error).message.split('\n');
    return [...Object.values(kinds), NVME].map(({ name }) => ({ name, skipped }));
  }
}

async function outcomesOf(turns: readonly Turn[], references: References): Promise<Outcome[]> {
  const disks = (Object.keys(kinds) as Kind[]).map((kind) => {
    const { name, each } = kinds[kind];
    const time = (side: keyof Turn) => (turn: Turn) => (1e9 * each) / turn[side][kind];
    const ratios = turns.map((turn) => time('ours')(turn) / time('theirs')(turn));
    return {
      name,
      unit: 'ns' as const,
      ours: median(turns.map(time('ours'))),
      reference: median(turns.map(time('theirs'))),
      ratio: median(ratios),
      maxRatio: 1,
    };
  });
  if (!references.hasCompiler) return [...disks, { name: NVME.name, skipped: 'there is no compiler (cc)' }];
  const ours = await nvmeRead(references);
  const reference = median(turns.map((turn) => 1e9 / turn.nvme.random));
  return [...disks, { ...NVME, unit: 'ns', ours, reference, ratio: ours / reference }];
}
