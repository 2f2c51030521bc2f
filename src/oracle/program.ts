/**
 * What the programs of the oracles do: generate sequences, ask both sides, report. Each reads its command
 * line (`oracleLine`) before it builds a kernel. They exit with 1 when a difference is left that nobody has
 * explained.
 */
import { writeFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import fc from 'fast-check';
import { count, seed } from '../cli/option-values.js';
import { commandLine } from '../testkit/command-line.js';
import type { Side } from './answers.js';
import type { Explained } from './compare.js';
import { Comparison, type Finding, type Patient } from './comparison.js';
import type { Sequence } from './language.js';
import { formatTranscripts } from './transcript.js';

/** One oracle. */
export interface Oracle<Part extends string> {
  readonly sequences: (parts: readonly Part[]) => fc.Arbitrary<Sequence>;
  /** How many sequences are compared when nothing is said. */
  readonly runs: number;
  /** How many with `--full`, which is 100,000 calls at least. Absent: as many as `runs`. */
  readonly full?: number;
  /** Sequences that share one boot of the kernel. */
  readonly batch: number;
  readonly meant: readonly Explained[];
  /** As of Comparison. */
  readonly patient?: Patient;
  readonly kernel: Side;
  readonly ours: Side;
}

interface Options<Part> {
  readonly runs?: number;
  readonly full: boolean;
  readonly seed: number;
  readonly parts: readonly Part[];
  /** How many findings are made small and printed. */
  readonly shrink: number;
  readonly record?: string;
}

type Settings<Part> = Options<Part> & { readonly runs: number };

/** The command line of an oracle. @param script its name in package.json. */
export function oracleLine(script: string, about: string, parts: readonly string[]): Command {
  return commandLine(script, about)
    .option('--runs <n>', 'sequences to compare', count)
    .option('--full', 'as many as make 100,000 calls', false)
    .option('--seed <s>', 'of the sequences', seed, Date.now() % 1_000_000_000)
    .option('--parts <part,...>', 'what to call', (text) => partsIn(text, parts), parts)
    .option('--shrink <n>', 'differences to make small and print', count, 1)
    .option('--record <file>', 'where to write what the kernel answers');
}

function partsIn(text: string, parts: readonly string[]): string[] {
  const names = text.split(',');
  if (!names.every((name) => parts.includes(name)))
    throw new InvalidArgumentError(`It takes ${parts.join(', ')}.`);
  return names;
}

/** @param line as `oracleLine` has made it, and parsed. */
export async function compareWith<Part extends string>(line: Command, oracle: Oracle<Part>): Promise<void> {
  const asked = line.opts<Options<Part>>();
  const options = { ...asked, runs: asked.runs ?? (asked.full ? (oracle.full ?? oracle.runs) : oracle.runs) };
  const keep = options.record !== undefined;
  const { kernel, ours, meant, patient } = oracle;
  const comparison = new Comparison(kernel, ours, { meant, keep, ...(patient && { patient }) });
  await compareAll(oracle, comparison, options);
  if (options.record !== undefined)
    await writeFile(options.record, formatTranscripts(comparison.transcripts));
  const findings = report(comparison, options.seed);
  for (const finding of findings.slice(0, options.shrink))
    print(`\n${finding.signature} (first in ${finding.first.name})\n${await comparison.explain(finding)}`);
  process.exitCode = findings.length === 0 ? 0 : 1;
}

/** The sequences of one boot. The same seed always gives the same ones. */
function batchOf<Part extends string>(
  { sequences, batch }: Oracle<Part>,
  { runs, seed, parts }: Settings<Part>,
  first: number,
): Sequence[] {
  const made = fc.sample(sequences(parts), { seed: seed + first, numRuns: Math.min(batch, runs - first) });
  return made.map((sequence, n) => ({ ...sequence, name: `${seed}.${first + n}` }));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function compareAll<Part extends string>(
  oracle: Oracle<Part>,
  comparison: Comparison,
  options: Settings<Part>,
): Promise<void> {
  for (let first = 0; first < options.runs; first += oracle.batch) {
    await comparison.compare(batchOf(oracle, options, first));
    const differ = [...comparison.findings.values()].reduce((total, { count }) => total + count, 0);
    const done = Math.min(first + oracle.batch, options.runs);
    process.stderr.write(`\r${done} of ${options.runs}, ${differ} differ `);
  }
  process.stderr.write('\n');
}

function report(
  { compared, calls, dropped, hasty, findings, explained }: Comparison,
  seed: number,
): readonly Finding[] {
  const differing = [...findings.values()].sort((one, other) => other.count - one.count);
  const total = differing.reduce((sum, { count }) => sum + count, 0);
  print(`${compared} sequences compared (${calls} calls, seed ${seed}): ${total} differ`);
  if (dropped > 0) print(`${dropped} more were dropped: the kernel warned of itself in them`);
  if (hasty > 0) print(`${hasty} differed until both sides were waited for longer`);
  for (const [{ name, reason }, count] of explained)
    print(`${count} differ as they are meant to (${name}): ${reason}`);
  for (const { signature, count } of differing) print(`${String(count).padStart(7)}  ${signature}`);
  return differing;
}
