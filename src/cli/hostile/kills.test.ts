/**
 * Whatever process of a run or a serve is killed, at whatever moment, with every kind of call under way: all
 * processes end within 5 s, and no mount and no folder is left.
 *
 * IOASID_KILLS is how many are killed (`IOASID_KILLS=5000 npm run test:hostile`), IOASID_SEED makes it the
 * same choices again.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { mountsBelow, Running, runner } from '../../testkit/processes.js';
import { Random } from '../../testkit/random.js';

const KILLS = Number(process.env.IOASID_KILLS ?? 40);
const SEED = Number(process.env.IOASID_SEED ?? (Date.now() % 2 ** 31) + 1);
const PATIENCE_MS = 5000;
const LOOK_MS = 20;
const kinds = ['queues', 'groups', 'reopened', 'opens', 'maps', 'interrupts', 'registers', 'names', 'pages'];
const devices = ['--device', 'edu', '--device', 'dsa,ready=1'];

/** Who is killed. `early`: anybody, before the command has begun; `orphan`: nobody, the command ends. */
const victims = ['server', 'server', 'server', 'guard', 'client', 'command', 'orphan', 'early'] as const;
type Victim = (typeof victims)[number];

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Every process with this in its environment: what is started inherits it. */
function marked(mark: string): number[] {
  return processIds().filter((pid) => read(`/proc/${pid}/environ`).includes(mark));
}

function roleOf(pid: number, server: number): Victim {
  if (pid === server) return 'server';
  const words = read(`/proc/${pid}/cmdline`);
  if (/ioasid-guard|guard-main/.test(words)) return 'guard';
  const parent = /^PPid:\s*(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1];
  return Number(parent) === server ? 'command' : 'client';
}

/** Some thread of it is still there. A leader that has ended is a zombie until the last of them has. */
function lives(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some(
      (tid) => !/\) [ZX] /.test(read(`/proc/${pid}/task/${tid}/stat`)),
    );
  } catch {
    return false;
  }
}

/** Where its threads are, for the report of a failure. */
function whereabouts(pid: number): string {
  const stacks = readdirSync(`/proc/${pid}/task`).map((tid) => {
    const state = /^State:\s*(.*)$/m.exec(read(`/proc/${pid}/task/${tid}/status`))?.[1];
    return `  ${tid} ${state}: ${read(`/proc/${pid}/task/${tid}/stack`).split('\n').slice(0, 5).join(' ')}`;
  });
  return `${pid} ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}\n${stacks.join('\n')}`;
}

/** A server, its clients and a guard, of which one is killed. */
class Scene {
  readonly folder: string | undefined;
  readonly #mark: string;
  readonly #server: Running;
  readonly #seen = new Set<number>();
  #others: ChildProcess | undefined;

  /** `folder`: where a serve serves; undefined: it is a run. */
  constructor(number: number, program: readonly string[], folder: string | undefined) {
    this.folder = folder;
    this.#mark = `IOASID_SCENE=${process.pid}.${number}.`;
    process.env.IOASID_SCENE = `${process.pid}.${number}.`;
    const command =
      folder === undefined ? ['run', ...devices, '--', ...program] : ['serve', ...devices, folder];
    this.#server = Running.ioasid(command, runner);
  }

  get pid(): number {
    return this.#server.pid;
  }

  /** Returns when calls are under way. */
  async busy(program: readonly string[]): Promise<void> {
    if (this.folder !== undefined) {
      await this.#server.says(`${this.folder}/vfio/devices/vfio0`);
      this.#others = spawn(program[0]!, program.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(this.#others.stdout!, 'data');
    } else await this.#server.says('busy');
  }

  /** All processes that there are, or have been. */
  all(): Set<number> {
    for (const pid of marked(this.#mark)) this.#seen.add(pid);
    return this.#seen;
  }

  of(role: Victim): number[] {
    return [...this.all()].filter((pid) => lives(pid) && roleOf(pid, this.pid) === role);
  }

  /** Returns when they have ended; all do, without `roles`. */
  async end(after: string, roles: readonly Victim[] = []): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const living = [...this.all()].filter(lives);
      const waiting =
        roles.length === 0 ? living : living.filter((pid) => roles.includes(roleOf(pid, this.pid)));
      if (waiting.length === 0) return;
      if (Date.now() > deadline)
        assert.fail(`${after}, and these go on:\n${waiting.map(whereabouts).join('\n')}`);
      await sleep(LOOK_MS);
    }
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
  }
}

/** Kills somebody. @returns what was done. */
async function strike(scene: Scene, victim: Victim, random: Random): Promise<string> {
  if (victim === 'orphan') return 'the command ended before those that it had started';
  await sleep(random.below(300));
  const candidates = victim === 'early' ? [...scene.all()].filter(lives) : scene.of(victim);
  // A serve has no command.
  const pid = candidates.length === 0 ? scene.pid : random.pick(candidates);
  const signal = random.below(3) === 0 ? 'SIGTERM' : 'SIGKILL';
  const role = roleOf(pid, scene.pid);
  kill(pid, signal);
  if (role === 'server' && signal === 'SIGKILL' && scene.folder === undefined)
    await scene.end('the server was killed');
  else if (role !== 'server') kill(scene.pid, 'SIGTERM');
  return `${signal} to ${pid}, ${role}`;
}

async function round(number: number, random: Random, folder: string | undefined): Promise<void> {
  const victim = random.pick(victims);
  const chosen = [...kinds].sort(() => random.below(3) - 1).slice(0, 3);
  const orphan = victim === 'orphan' ? ['orphan'] : [];
  const program = [testProgram('restless'), folder ?? '/dev', ...orphan, ...chosen];
  const scene = new Scene(number, program, folder);
  if (victim !== 'early') await scene.busy(program);
  const done = await strike(scene, victim, random);
  const what = `round ${number} of seed ${SEED} (${chosen.join(', ')}): ${done}`;
  if (victim === 'orphan' && folder !== undefined) kill(scene.pid, 'SIGTERM');
  await scene.end(what, ['server', 'guard']);
  // Who has not been killed with his server goes on, and can still be.
  for (const pid of scene.all()) if (lives(pid)) kill(pid, 'SIGKILL');
  await scene.end(`${what}, then SIGKILL to all`);
  if (folder === undefined) return;
  assert.deepEqual(mountsBelow(folder), [], what);
  assert.equal(existsSync(folder), false, what);
}

test('whoever is killed, at whatever moment, all end within 5 s and nothing is left', {
  skip: runner.skip || missingCompiler(),
  timeout: 60_000 + KILLS * 10_000,
}, async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'ioasid-kills-'));
  t.after(() => rmSync(scratch, { recursive: true }));
  const random = new Random(SEED);
  for (let number = 1; number <= KILLS; number++) {
    const serves = runner.name === 'root' && random.below(3) === 0;
    await round(number, random, serves ? join(scratch, String(number)) : undefined);
  }
  t.diagnostic(`${KILLS} kills, seed ${SEED}`);
});
