/**
 * The answers of one side: those of an executor's output, or of our own machine.
 *
 * An executor may not get to the end of its script. What it answered to a sequence in which its kernel warned
 * of itself, or fell over, is dropped; the sequences after it go into the next boot.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Sequence } from './language.js';

/** One answer per line, or why there are none. */
export type Answers =
  | { readonly kind: 'answered'; readonly answers: readonly string[] }
  | { readonly kind: 'warned' | 'crashed' };

/** What sequences are asked of: a kernel, or what is to be like it. */
export interface Side {
  /** The answers to each of `sequences`, in their order. */
  ask(sequences: readonly Sequence[]): Promise<readonly Answers[]>;
}

/** Within this time a kernel answers something, or has got stuck. */
const STUCK_MS = 60_000;

/** Boots as often as it takes. @param boot the answers of one boot: at least one, maybe not all. */
export async function askInBoots(
  sequences: readonly Sequence[],
  boot: (sequences: readonly Sequence[]) => Promise<readonly Answers[]>,
): Promise<readonly Answers[]> {
  const answers: Answers[] = [];
  while (answers.length < sequences.length) answers.push(...(await boot(sequences.slice(answers.length))));
  return answers;
}

/**
 * Takes the output of one boot apart. The last sequence that it names may have been cut short or have made
 * the kernel warn.
 */
export function parseAnswers(output: string, sequences: readonly Sequence[]): Answers[] {
  const answered: string[][] = [];
  let ending = '';
  for (const line of output.split('\n').slice(0, -1)) {
    if (line === 'end' || line === 'tainted') ending = line;
    else if (line.startsWith('seq ')) answered.push([]);
    else answered.at(-1)?.push(line);
  }
  const answers = answered.map((each, n): Answers => {
    if (each.length < sequences[n]!.lines.length) return { kind: 'crashed' };
    return { kind: 'answered', answers: each };
  });
  if (ending === 'tainted') answers[answers.length - 1] = { kind: 'warned' };
  if (answers.length === 0) answers.push({ kind: 'crashed' });
  return answers;
}

/** Runs a program; what it says of errors goes to ours. */
export function run(file: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  return ended(spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] }));
}

/**
 * Boots a kernel that writes its answers into the file `progress`, and ends it when nothing more comes: a
 * sequence may have made it hang.
 */
export async function boot(file: string, args: readonly string[], progress: string): Promise<string> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let size = -1;
  const watch = setInterval(() => {
    const now = statSync(progress, { throwIfNoEntry: false })?.size ?? 0;
    if (now === size) child.kill('SIGKILL');
    size = now;
  }, STUCK_MS);
  try {
    return (await ended(child)).output;
  } finally {
    clearInterval(watch);
  }
}

function ended(
  child: ChildProcessByStdio<null, Readable, Readable | null>,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.on('error', reject).on('close', (code) => resolve({ code, output }));
  });
}
