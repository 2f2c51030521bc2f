/**
 * The kernel side: sequences go into a fresh User-Mode Linux, their answers come back.
 *
 * A boot costs a tenth of a second, so many sequences share one. A kernel that warned of itself (its test
 * interface can be misused) is not asked any further: what it answered in that sequence is dropped, and the
 * sequences after it go into the next boot.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Answers, askInBoots, boot, parseAnswers, run, type Side } from './answers.js';
import { formatScript, type Sequence } from './language.js';

/** Builds kernel and executor where they are not there yet. @returns the directory they are in. */
export async function buildKernel(script: string): Promise<string> {
  const { code, output } = await run(script, []);
  const home = output.trim().split('\n').at(-1);
  if (code !== 0 || home === undefined || home === '') throw new Error('the oracle could not be built');
  return home;
}

export class Kernel implements Side {
  readonly #home: string;

  /** @param home the directory that buildKernel gave. */
  constructor(home: string) {
    this.#home = home;
  }

  ask(sequences: readonly Sequence[]): Promise<readonly Answers[]> {
    return askInBoots(sequences, (some) => this.#boot(some));
  }

  /** The answers of one boot: at least one, maybe not all. */
  async #boot(sequences: readonly Sequence[]): Promise<Answers[]> {
    const work = await mkdtemp(join(tmpdir(), 'ioasid-oracle-'));
    try {
      await writeFile(join(work, 'script'), formatScript(sequences));
      const output = await boot(join(this.#home, 'linux'), this.#arguments(work), join(work, 'out'));
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
