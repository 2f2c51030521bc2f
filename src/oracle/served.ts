/**
 * Our side over real files: the guest's own executor, under `ioasid run` with the devices.
 *
 * For what a machine in this process cannot answer: system calls that only files have, and devices that are
 * done with a request in their own time.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Answers, askInBoots, parseAnswers, type Side } from './answers.js';
import { formatScript, type Sequence } from './language.js';

const bin = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));

/**
 * The start of a command that sees no PCI function of this host. The devices have the guest's addresses, and
 * `run` takes none that the host has given away.
 */
const withoutPci = [
  'unshare',
  ...(process.getuid!() === 0 ? [] : ['--map-current-user', '--keep-caps']),
  ...['--mount', 'sh', '-c', '! test -d /sys/bus/pci || mount -t tmpfs none /sys/bus/pci && exec "$@"', 'sh'],
];

export class Served implements Side {
  readonly #executor: string;
  readonly #devices: (work: string) => Promise<readonly string[]>;
  readonly #options: readonly string[];

  /**
   * @param executor the program.
   * @param devices `--device` arguments, whose files may be made in a directory of each run's own.
   * @param options others of `ioasid run`.
   */
  constructor(
    executor: string,
    devices: (work: string) => Promise<readonly string[]>,
    options: readonly string[] = [],
  ) {
    this.#executor = executor;
    this.#devices = devices;
    this.#options = options;
  }

  ask(sequences: readonly Sequence[]): Promise<readonly Answers[]> {
    return askInBoots(sequences, (some) => this.#run(some));
  }

  async #run(sequences: readonly Sequence[]): Promise<readonly Answers[]> {
    const work = await mkdtemp(join(tmpdir(), 'ioasid-oracle-'));
    try {
      await writeFile(join(work, 'script'), formatScript(sequences));
      const status = await this.#serve(await this.#devices(work), [
        join(work, 'script'),
        join(work, 'answers'),
      ]);
      const answers = await readFile(join(work, 'answers'), 'utf8').catch(() => '');
      if (status !== 0 || !answers.startsWith('seq ')) throw new Error(`ioasid run ended with ${status}`);
      return parseAnswers(answers, sequences);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  #serve(devices: readonly string[], files: readonly string[]): Promise<number | null> {
    const options = [...this.#options, ...devices.flatMap((device) => ['--device', device])];
    const command = [process.execPath, bin, 'run', ...options, '--', this.#executor, ...files];
    const [program, ...args] = [...withoutPci, ...command];
    const child = spawn(program!, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    return new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  }
}
