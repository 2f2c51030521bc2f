/**
 * Real `ioasid` processes for the tests of the command line.
 */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fuseOffer } from '../cli/doctor.js';
import { launchMode } from '../cli/launcher-process.js';
import { descendantsNamed, killDescendants } from './descendants.js';
import { keep, known } from './shared-folder.js';

export const bin = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
/** More than any of it takes: only a hang comes to this. IOASID_PATIENCE is for a machine that is busy. */
const PATIENCE_MS = Math.max(60_000, 6000 * Number(process.env.IOASID_PATIENCE ?? 0));

export interface Result {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Why FUSE cannot be had here; false when it can: what node:test takes as `skip`. */
export const withoutFuse = known<string | false>('without-fuse') ?? keep('without-fuse', lookForFuse());

function lookForFuse(): string | false {
  try {
    fuseOffer();
    return false;
  } catch (error) {
    return `no FUSE here: ${(error as Error).message}`;
  }
}

/**
 * Who runs ioasid in a test: the user of the test, or a plain user for whom /dev/fuse is open. The latter is
 * made by root in a mount namespace whose /dev/fuse has mode 0666.
 */
export interface Runner {
  readonly name: string;
  readonly prefix: readonly string[];
  readonly uid: number;
  readonly skip: string | false;
}

const plainUser = 65534;
const openFuse =
  'mount -t tmpfs none /mnt && mknod /mnt/fuse c 10 229 && chmod 666 /mnt/fuse && ' +
  'mount --bind /mnt/fuse /dev/fuse';
const become = `setpriv --reuid=${plainUser} --regid=${plainUser} --clear-groups --inh-caps=-all`;
const asPlainUser = [
  'unshare',
  '--mount',
  'sh',
  '-c',
  `${openFuse} && umount -l /mnt && exec ${become} "$@"`,
  'sh',
];
/** The first argument is a fusermount3, of which the namespace has a copy that is set-user-id root. */
const withFusermount = 'cp "$1" /mnt/fusermount3 && chmod 4755 /mnt/fusermount3 && PATH=/mnt:$PATH && shift';
const asMounter = [
  'unshare',
  '--mount',
  'sh',
  '-c',
  `${openFuse} && ${withFusermount} && exec ${become} "$@"`,
  'sh',
];
const fusermountScript = fileURLToPath(new URL('../../scripts/fusermount.sh', import.meta.url));

function lookForPlainUser(): string | false {
  if (withoutFuse) return withoutFuse;
  if (launchMode() === 'user') return 'these tests run without root already';
  const doctor = [...asPlainUser, process.execPath, bin, 'doctor'];
  const { status, stdout, stderr } = spawnSync(doctor[0]!, doctor.slice(1), {
    encoding: 'utf8',
    timeout: PATIENCE_MS,
  });
  return status === 0
    ? false
    : `no plain user can be made here: ${stdout.split('\n').find((line) => line.startsWith('no')) ?? stderr}`;
}

export const self: Runner = {
  name: launchMode() === 'root' ? 'root' : 'a plain user',
  prefix: [],
  uid: process.geteuid?.() ?? 0,
  skip: withoutFuse,
};
export const user: Runner = {
  name: 'a plain user',
  prefix: asPlainUser,
  uid: plainUser,
  /** Looked for when somebody asks: that takes longer than many of the files that import this. */
  get skip() {
    return known<string | false>('no-plain-user') ?? keep('no-plain-user', lookForPlainUser());
  },
};

/** `user`, who can mount: with the machine's fusermount3, or with Debian's. */
export function mounter(): Runner {
  if (user.skip) return user;
  const { status, stdout, stderr } = spawnSync(fusermountScript, {
    encoding: 'utf8',
    timeout: 4 * PATIENCE_MS,
  });
  if (status !== 0) return { ...user, skip: `no fusermount3: ${stderr.trim()}` };
  return { ...user, prefix: [...asMounter, stdout.trim()] };
}

/** `command` as `user`, where process `pid` of his sees his files. */
export function besideUser(pid: number, command: readonly string[]): string[] {
  return ['nsenter', `--mount=/proc/${pid}/ns/mnt`, ...become.split(' '), ...command];
}

/**
 * Who runs ioasid in the tests that are for every user: whoever runs them, and with `npm run test:user` a
 * plain user.
 */
export const runner: Runner = process.env.IOASID_TEST_AS === 'user' ? user : self;

/** @throws Error when a server has said in its `output` that an invariant of its own does not hold. */
export function requireSound(output: string): void {
  if (output.includes('BrokenInvariant')) throw new Error(`the server has broken an invariant: ${output}`);
}

/** Runs ioasid to its end. */
export function ioasid(args: readonly string[], runner: Runner = self, input: string | Buffer = ''): Result {
  const [file, ...rest] = [...runner.prefix, process.execPath, bin, ...args];
  const { status, signal, stdout, stderr } = spawnSync(file!, rest, {
    input,
    timeout: PATIENCE_MS,
    maxBuffer: 1 << 26,
  });
  requireSound(stderr.toString('latin1'));
  return { status, signal, stdout: stdout.toString('latin1'), stderr: stderr.toString('latin1') };
}

/** Runs a shell script in which `$IOASID` is the command, to its end. */
export function shell(script: string, input = ''): Result {
  const env = { ...process.env, IOASID: `${process.execPath} ${bin}` };
  const { status, signal, stdout, stderr } = spawnSync('sh', ['-c', script], {
    input,
    env,
    timeout: PATIENCE_MS,
  });
  requireSound(stderr.toString('latin1'));
  return { status, signal, stdout: stdout.toString('latin1'), stderr: stderr.toString('latin1') };
}

/** `words` as a shell reads them. */
export function quote(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
}

/** Waits until `condition` holds. @throws Error when it never does. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`never happened: ${what}`);
    await sleep(10);
  }
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\t[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}

/** The guards (cli/guard.ts) of the server, or of the command of a run, that is process `pid`. */
export function guardsOf(pid: number): number[] {
  return descendantsNamed(`"source":"ioasid:${pid}-`);
}

/**
 * Where this process sees file systems of ioasid, in `folder` or below it. Other tests mount elsewhere at the
 * same time.
 */
export function mountsBelow(folder: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'latin1').split('\n');
  const targets = lines
    .filter((line) => / - fuse\S* ioasid\S* /.test(line))
    .map((line) => line.split(' ')[4]!);
  return targets.filter((target) => `${target}/`.startsWith(`${folder}/`));
}

/**
 * Commands that tests have started. What one leaves behind, be it because it fails, would be in the way of
 * the next, and keep the file from ending: with the end of its test, all that it has started ends.
 */
const started = new Set<Running>();
afterEach(() => {
  if (started.size > 0) killDescendants();
  const outputs = [...started].map(({ output }) => output);
  started.clear();
  for (const output of outputs) requireSound(output);
});

// What is compared is text: a CI's environment asks for colours.
process.env.NO_COLOR = '1';

/** A command, mostly an ioasid, that runs while the test does. `env`: in its environment, beside ours. */
export class Running {
  readonly process: ChildProcessWithoutNullStreams;
  readonly ended: Promise<{ status: number | null; signal: NodeJS.Signals | null }>;
  output = '';
  /** Nothing comes any more: it has ended, and so has whoever had its streams from it. */
  #closed = false;

  constructor(command: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.process = spawn(command[0]!, command.slice(1), { env: { ...process.env, ...env } });
    started.add(this);
    this.process.stdout.on('data', (part) => (this.output += part));
    this.process.stderr.on('data', (part) => (this.output += part));
    this.process.on('close', () => {
      this.#closed = true;
    });
    this.ended = new Promise((resolve) =>
      this.process.on('exit', (status, signal) => {
        // What it has said last is there, and is read when the loop has looked once more.
        setImmediate(() => setImmediate(() => resolve({ status, signal })));
      }),
    );
  }

  static ioasid(args: readonly string[], runner: Runner = self, env: NodeJS.ProcessEnv = {}): Running {
    return new Running([...runner.prefix, process.execPath, bin, ...args], env);
  }

  /**
   * On a terminal of its own, whose keyboard and screen are `process.stdin` and `output`. The shell of
   * `script` (which one depends on $SHELL) becomes ioasid: one that stays would be interrupted from the
   * keyboard too, and answer with a status of its own. `first`: what the shell does before.
   */
  static onTerminal(args: readonly string[], first = ':'): Running {
    const command = `${first}; exec ${quote([process.execPath, bin, ...args])}`;
    return new Running(['script', '-qec', command, '/dev/null']);
  }

  /** The server: every prefix becomes it by exec. */
  get pid(): number {
    return this.process.pid!;
  }

  async says(text: string): Promise<void> {
    await until(() => this.output.includes(text) || this.#closed, `output of ${JSON.stringify(text)}`);
    if (!this.output.includes(text)) throw new Error(`ended before it said ${text}: ${this.output}`);
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }
}
