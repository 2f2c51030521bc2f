/**
 * The answers of one side: those of an executor's output, or of our own machine.
 *
 * An executor may not get to the end of its script. What it answered to a sequence in which its kernel warned
 * of itself, or fell over, is dropped; the sequences after it go into the next boot.
 */
import { spawn } from 'node:child_process';
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

const BOOT_LIMIT_MS = 600_000;

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

/** Runs a program. `ignore`: it is ended after some minutes, and what it says of errors is not wanted. */
export function run(
  file: string,
  args: readonly string[],
  errors: 'inherit' | 'ignore',
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', errors],
      timeout: errors === 'ignore' ? BOOT_LIMIT_MS : 0,
      killSignal: 'SIGKILL',
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.on('error', reject).on('close', (code) => resolve({ code, output }));
  });
}
