/**
 * The kernel side: sequences go into a fresh User-Mode Linux, their answers come back.
 *
 * A boot costs a tenth of a second, so many sequences share one. A kernel that warned of itself (its test
 * interface can be misused) is not asked any further: what it answered in that sequence is dropped, and the
 * sequences after it go into the next boot.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatScript, type Sequence } from './language.js';

/** One answer per line, or why there are none. */
export type Answers =
  | { readonly kind: 'answered'; readonly answers: readonly string[] }
  | { readonly kind: 'warned' | 'crashed' };

const BOOT_LIMIT_MS = 120_000;

/** Builds kernel and executor where they are not there yet. @returns the directory they are in. */
export async function buildKernel(script: string): Promise<string> {
  const { code, output } = await run(script, [], 'inherit');
  const home = output.trim().split('\n').at(-1);
  if (code !== 0 || home === undefined || home === '') throw new Error('the oracle could not be built');
  return home;
}

export class Kernel {
  readonly #home: string;

  /** @param home the directory that buildKernel gave. */
  constructor(home: string) {
    this.#home = home;
  }

  async ask(sequences: readonly Sequence[]): Promise<readonly Answers[]> {
    const answers: Answers[] = [];
    while (answers.length < sequences.length)
      answers.push(...(await this.#boot(sequences.slice(answers.length))));
    return answers;
  }

  /** The answers of one boot: at least one, maybe not all. */
  async #boot(sequences: readonly Sequence[]): Promise<Answers[]> {
    const work = await mkdtemp(join(tmpdir(), 'ioasid-oracle-'));
    try {
      await writeFile(join(work, 'script'), formatScript(sequences));
      const { output } = await run(join(this.#home, 'linux'), this.#arguments(work), 'ignore');
      const answers = await readFile(join(work, 'out'), 'utf8').catch(() => undefined);
      if (answers === undefined) throw new Error(`the kernel did not get as far as the executor:\n${output}`);
      return parseAnswers(answers, sequences);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  #arguments(work: string): string[] {
    const root = [
      'root=/dev/root',
      'rootfstype=hostfs',
      `rootflags=${join(this.#home, 'root')}`,
      'rw',
      'init=/init',
    ];
    return [
      'mem=64M',
      'seccomp=on',
      ...root,
      `uml_dir=${work}`,
      'con0=null',
      'con=null',
      'ssl=null',
      'quiet',
      `work=${work}`,
    ];
  }
}

/**
 * Takes the output of one boot apart. The last sequence that it names may have been cut short or have made
 * the kernel warn.
 */
function parseAnswers(output: string, sequences: readonly Sequence[]): Answers[] {
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

function run(
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
