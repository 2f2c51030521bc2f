/**
 * A kernel as a guest: Debian's own, in a machine of QEMU's, for what User-Mode Linux cannot have.
 *
 * A boot takes seconds, so thousands of sequences share one. The script goes in with the initramfs, the
 * answers come out of the second serial port.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Entry, initramfs } from '../testkit/initramfs.js';
import { type Answers, askInBoots, boot, parseAnswers, type Side } from './answers.js';
import { formatScript, type Sequence } from './language.js';

const MACHINE = [
  ...['-m', '512', '-display', 'none', '-no-reboot', '-nodefaults', '-monitor', 'none', '-net', 'none'],
];
const COMMAND_LINE = [
  ...['console=ttyS0', 'quiet', 'loglevel=3', 'panic=-1', 'random.trust_cpu=on'],
  // Emulated time stamp counters are no clock, and on a busy machine the timer may come late.
  ...['tsc=unstable', 'clocksource=hpet', 'no_timer_check'],
];

/** What one oracle's machine has of its own. */
export interface GuestMachine {
  /** QEMU's arguments. */
  readonly arguments: readonly string[];
  /** What the kernel is told. */
  readonly commandLine: readonly string[];
  /** What QEMU runs under: a command that is given QEMU's own. Absent: nothing. */
  readonly under?: readonly string[];
}

export class Guest implements Side {
  readonly #home: string;
  readonly #machine: GuestMachine;

  /** @param home the directory that oracle/vfio.sh, or its like, has made. */
  constructor(home: string, machine: GuestMachine) {
    this.#home = home;
    this.#machine = machine;
  }

  ask(sequences: readonly Sequence[]): Promise<readonly Answers[]> {
    return askInBoots(sequences, (some) => this.#boot(some));
  }

  async #boot(sequences: readonly Sequence[]): Promise<readonly Answers[]> {
    const work = await mkdtemp(join(tmpdir(), 'ioasid-oracle-'));
    try {
      await writeFile(join(work, 'initrd'), initramfs(await this.#files(sequences)));
      const [file, ...args] = [...(this.#machine.under ?? []), join(this.#home, 'qemu')];
      await boot(file!, [...args, ...this.#arguments(work)], join(work, 'answers'));
      const answers = await readFile(join(work, 'answers'), 'utf8').catch(() => '');
      const console = await readFile(join(work, 'console'), 'utf8').catch(() => '');
      if (!answers.startsWith('seq ')) throw new Error(`the guest did not get to the executor:\n${console}`);
      return parseAnswers(answers, sequences);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  async #files(sequences: readonly Sequence[]): Promise<Entry[]> {
    const modules = await readdir(join(this.#home, 'mod'));
    const names = ['init', 'executor', ...modules.map((name) => `mod/${name}`)];
    const files = names.map(async (path) => ({ path, data: await readFile(join(this.#home, path)) }));
    return [
      ...['dev', 'proc', 'sys', 'mod'].map((path) => ({ path })),
      ...(await Promise.all(files)),
      { path: 'script', data: Buffer.from(formatScript(sequences)) },
    ];
  }

  #arguments(work: string): string[] {
    const append = [...COMMAND_LINE, ...this.#machine.commandLine].join(' ');
    return [
      ...MACHINE,
      ...this.#machine.arguments,
      ...['-serial', `file:${join(work, 'console')}`, '-serial', `file:${join(work, 'answers')}`],
      ...['-kernel', join(this.#home, 'vmlinuz'), '-initrd', join(work, 'initrd'), '-append', append],
    ];
  }
}
