/**
 * What the test of kills looks at: a server, its clients, a guard, and what they leave.
 *
 * A scene's processes are all that the test has started since the last one ended. What a scene has in the
 * kernel beside processes, its mount and its FUSE connection, is known by numbers that are seen while it
 * lives.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { descendants, killDescendants, lives, reapChildren } from './descendants.js';
import { besideUser, type Runner, Running } from './processes.js';

/** What a process is. A command becomes one where its launcher was. */
export type Role = 'server' | 'guard' | 'launcher' | 'command' | 'client';

const LOOK_MS = 20;

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Its program has no file: it runs from memory, by a path that unshare(1) may have to start. */
function isLauncher(pid: number): boolean {
  return /(^|\0)\/proc\/self\/fd\/\d+\0$/.test(read(`/proc/${pid}/cmdline`));
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Where its threads are, for the report of a failure. */
function whereabouts(pid: number): string {
  const stacks = readdirSync(`/proc/${pid}/task`).map((tid) => {
    const state = /^State:\s*(.*)$/m.exec(read(`/proc/${pid}/task/${tid}/status`))?.[1];
    return `  ${tid} ${state}: ${read(`/proc/${pid}/task/${tid}/stack`).split('\n').slice(0, 5).join(' ')}`;
  });
  return `${pid} ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}\n${stacks.join('\n')}`;
}

/** The device numbers of our filesystems at `target`, in a mountinfo. */
function devicesAt(mountinfo: string, target: string): string[] {
  const ours = mountinfo.split('\n').filter((line) => / - fuse\S* ioasid\S* /.test(line));
  return ours.map((line) => line.split(' ')).flatMap((words) => (words[4] === target ? [words[2]!] : []));
}

/** The FUSE connections that there are, as device numbers; none where they cannot be listed. */
function connections(): string[] {
  const folder = '/sys/fs/fuse/connections';
  const list = `mount -t fusectl none ${folder} && ls ${folder}`;
  const { stdout } = spawnSync('unshare', ['--mount', 'sh', '-c', list], { encoding: 'utf8' });
  return stdout.split('\n').flatMap((name) => (name === '' ? [] : [`0:${name}`]));
}

/** Resolves when Node knows that its child has ended. */
async function ended(child: ChildProcess | undefined): Promise<void> {
  if (child !== undefined && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

export interface SceneOptions {
  readonly runner: Runner;
  readonly devices: readonly string[];
  /** What uses the files; its first argument is where they are. */
  readonly program: readonly [file: string, ...rest: string[]];
  /** Where a serve serves; undefined: it is a run. */
  readonly folder: string | undefined;
  /** For files of a short life. */
  readonly scratch: string;
}

export class Scene {
  readonly serves: boolean;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #target: string;
  readonly #command: readonly string[];
  readonly #runner: Runner;
  readonly #server: Running;
  readonly #scratch: string;
  readonly #seen = new Set<number>();
  /** Who was a guard once: in the middle of its exec a process shows no command line. */
  readonly #guards = new Set<number>();
  readonly #devices = new Set<string>();
  /** The mount namespace, which does not end while this is open. */
  #namespace: number | undefined;
  #others: ChildProcess | undefined;

  constructor({ runner, devices, program, folder, scratch }: SceneOptions) {
    this.serves = folder !== undefined;
    this.#target = folder ?? '/dev';
    this.#runner = runner;
    this.#scratch = scratch;
    this.#environment = { TMPDIR: scratch };
    const [file, ...rest] = program;
    this.#command = [file, this.#target, ...rest];
    const words =
      folder === undefined ? ['run', ...devices, '--', ...this.#command] : ['serve', ...devices, folder];
    this.#server = Running.ioasid(words, runner, this.#environment);
  }

  get pid(): number {
    return this.#server.pid;
  }

  /** Returns when calls are under way. */
  async busy(): Promise<void> {
    if (this.serves) {
      await this.#server.says(`${this.#target}/vfio/devices/vfio0`);
      this.#namespace = openSync(`/proc/${this.pid}/ns/mnt`, 'r');
      const plain = this.#runner.uid !== process.geteuid?.();
      const [file, ...rest] = plain ? besideUser(this.pid, this.#command) : this.#command;
      const env = { ...process.env, ...this.#environment, IOASID_SERVER: String(this.pid) };
      this.#others = spawn(file!, rest, { stdio: ['ignore', 'pipe', 'inherit'], env });
      await once(this.#others.stdout!, 'data');
    } else await this.#server.says('busy');
    this.look();
    const known = connections();
    for (const device of this.#devices) assert.ok(known.length === 0 || known.includes(device));
    assert.ok(this.#devices.size > 0, 'the mount of a scene is seen');
  }

  /** All processes that there are, or have been. */
  all(): Set<number> {
    for (const pid of descendants()) {
      this.#seen.add(pid);
      if (/ioasid-guard|guard-main/.test(read(`/proc/${pid}/cmdline`))) this.#guards.add(pid);
    }
    return this.#seen;
  }

  living(): number[] {
    return [...this.all()].filter(lives);
  }

  of(role: Role): number[] {
    return this.living().filter((pid) => this.roleOf(pid) === role);
  }

  roleOf(pid: number): Role {
    if (pid === this.pid) return 'server';
    if (this.#guards.has(pid)) return 'guard';
    if (isLauncher(pid)) return 'launcher';
    const parent = /^PPid:\s*(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1];
    return Number(parent) === this.pid ? 'command' : 'client';
  }

  /** Kills all that go on. Returns when they have ended, as `end`. */
  async kill(after: string, patience: number): Promise<number> {
    killDescendants();
    const took = await this.end(`${after}, then SIGKILL to all`, patience);
    await Promise.all([this.#server.process, this.#others].map(ended));
    reapChildren();
    return took;
  }

  /** Notes what is mounted now. */
  look(): void {
    for (const pid of this.living())
      for (const device of devicesAt(read(`/proc/${pid}/mountinfo`), this.#target)) this.#devices.add(device);
  }

  /**
   * Returns when processes of these roles have ended, or all, without `roles`. @returns milliseconds.
   * @throws AssertionError some go on after `patience` milliseconds.
   */
  async end(after: string, patience: number, roles: readonly Role[] = []): Promise<number> {
    const start = Date.now();
    for (;;) {
      const living = this.living();
      const waiting = roles.length === 0 ? living : living.filter((pid) => roles.includes(this.roleOf(pid)));
      if (waiting.length === 0) return Date.now() - start;
      if (Date.now() - start > patience)
        assert.fail(
          `${after}, and these go on:\n${waiting.map(whereabouts).join('\n')}\n${this.#server.output}`,
        );
      await sleep(LOOK_MS);
    }
  }

  /**
   * What is there of it still, of which an ended scene has nothing: mounts, connections, files. The kernel
   * may take a moment after its last process, at most `patience` milliseconds.
   */
  async leftovers(patience: number): Promise<string[]> {
    const start = Date.now();
    let left = this.#leftovers();
    for (; left.length > 0 && Date.now() - start < patience; left = this.#leftovers()) await sleep(LOOK_MS);
    return left;
  }

  #leftovers(): string[] {
    const mounts = this.serves ? devicesAt(this.#mountinfo(), this.#target) : [];
    const files = readdirSync(this.#scratch);
    if (this.serves && existsSync(this.#target)) files.push(this.#target);
    if (mounts.length === 0 && this.#namespace !== undefined) {
      closeSync(this.#namespace);
      this.#namespace = undefined;
    }
    return [...mounts.map((each) => `mount ${each}`), ...this.#connections(), ...files];
  }

  /** Device numbers are used again, by whoever mounts next: his does not count. */
  #connections(): string[] {
    const known = this.#devices.size === 0 ? [] : connections().filter((device) => this.#devices.has(device));
    const others = known.length === 0 ? [] : processIds().map((pid) => read(`/proc/${pid}/mountinfo`));
    const left = known.filter((device) => !others.some((text) => text.includes(` ${device} `)));
    return left.map((each) => `connection ${each}`);
  }

  /** What is mounted where it ran. */
  #mountinfo(): string {
    const own = read('/proc/self/mountinfo');
    if (this.#namespace === undefined) return own;
    const there = `/proc/${process.pid}/fd/${this.#namespace}`;
    if (readlinkSync(there) === readlinkSync('/proc/self/ns/mnt')) return own;
    return spawnSync('nsenter', [`--mount=${there}`, 'cat', '/proc/self/mountinfo'], { encoding: 'utf8' })
      .stdout;
  }
}
