/**
 * `npm run test:oracle`: compares /dev/iommu with Linux's own iommufd on generated sequences of ioctls.
 *
 *     node dist/oracle/main.js [--runs N] [--seed S] [--parts ioas,hwpt,...] [--shrink N] [--record FILE]
 *
 * Exits with 1 when a difference is left that nobody has explained.
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { Comparison, type Finding } from './comparison.js';
import { type Part, partNames, sequences } from './generate.js';
import { buildKernel, Kernel } from './kernel.js';
import type { Sequence } from './language.js';
import { oracleMachine } from './machine.js';
import { Ours } from './ours.js';
import { formatTranscripts } from './transcript.js';

/** Sequences that share one boot of the kernel. */
const BATCH = 500;
const buildScript = fileURLToPath(new URL('../../oracle/build.sh', import.meta.url));

interface Settings {
  readonly runs: number;
  readonly seed: number;
  readonly parts: readonly Part[];
  /** How many findings are made small and printed. */
  readonly shrunk: number;
  readonly record: string | undefined;
}

function settings(): Settings {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '10000' },
      seed: { type: 'string', default: `${Date.now() % 1_000_000_000}` },
      parts: { type: 'string', default: partNames.join() },
      shrink: { type: 'string', default: '1' },
      record: { type: 'string' },
    },
  });
  const parts = values.parts
    .split(',')
    .map(
      (name) =>
        partNames.find((each) => each === name) ?? fail(`there is no part ${name}: ${partNames.join()}`),
    );
  return {
    runs: Number(values.runs),
    seed: Number(values.seed),
    parts,
    shrunk: Number(values.shrink),
    record: values.record,
  };
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

/** The sequences of one boot. The same seed always gives the same ones. */
function batch({ runs, seed, parts }: Settings, first: number): Sequence[] {
  const made = fc.sample(sequences(parts), { seed: seed + first, numRuns: Math.min(BATCH, runs - first) });
  return made.map((sequence, n) => ({ ...sequence, name: `${seed}.${first + n}` }));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function compareAll(comparison: Comparison, options: Settings): Promise<void> {
  for (let first = 0; first < options.runs; first += BATCH) {
    await comparison.compare(batch(options, first));
    const differ = [...comparison.findings.values()].reduce((total, { count }) => total + count, 0);
    process.stderr.write(`\r${Math.min(first + BATCH, options.runs)} of ${options.runs}, ${differ} differ `);
  }
  process.stderr.write('\n');
}

function report(
  { compared, calls, dropped, findings, explained }: Comparison,
  seed: number,
): readonly Finding[] {
  const differing = [...findings.values()].sort((one, other) => other.count - one.count);
  const total = differing.reduce((sum, { count }) => sum + count, 0);
  print(`${compared} sequences compared (${calls} calls, seed ${seed}): ${total} differ`);
  if (dropped > 0) print(`${dropped} more were dropped: the kernel warned of itself in them`);
  for (const [{ name, reason }, count] of explained)
    print(`${count} differ as they are meant to (${name}): ${reason}`);
  for (const { signature, count } of differing) print(`${String(count).padStart(7)}  ${signature}`);
  return differing;
}

const options = settings();
const kernel = new Kernel(await buildKernel(buildScript));
const comparison = new Comparison(kernel, new Ours(await oracleMachine()), {
  keep: options.record !== undefined,
});
await compareAll(comparison, options);
if (options.record !== undefined) await writeFile(options.record, formatTranscripts(comparison.transcripts));
const findings = report(comparison, options.seed);
for (const finding of findings.slice(0, options.shrunk))
  print(`\n${finding.signature} (first in ${finding.first.name})\n${await comparison.explain(finding)}`);
process.exitCode = findings.length === 0 ? 0 : 1;
