/**
 * Whatever process of a run or a serve is killed, root's or a plain user's, at whatever moment, with every
 * kind of call under way: all processes end within 5 s, and no mount, namespace, connection or file is left.
 *
 * IOASID_KILLS is how many are killed (`IOASID_KILLS=5000 npm run test:hostile`), IOASID_WAYS of what servers
 * (`IOASID_WAYS="run,a plain user's serve"`), IOASID_KINDS with which calls under way (`mapped`). IOASID_SEED
 * makes it the same choices again, IOASID_PATIENCE is another number of seconds, for a machine that is busy
 * otherwise.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { type Role, Scene } from '../../testkit/kill-scene.js';
import { mounter, type Runner, self, user } from '../../testkit/processes.js';
import { Random } from '../../testkit/random.js';
import { launchMode } from '../launcher-process.js';

const KILLS = Number(process.env.IOASID_KILLS ?? 40);
const SEED = Number(process.env.IOASID_SEED ?? (Date.now() % 2 ** 31) + 1);
const WAYS = process.env.IOASID_WAYS?.split(',');
const PATIENCE_MS = 1000 * Number(process.env.IOASID_PATIENCE ?? 20);
/** Calls under way: those of tests/c/restless. */
const allKinds = [
  'queues',
  'groups',
  'reopened',
  'swapped',
  'opens',
  'names',
  'asks',
  'maps',
  'pages',
  'slices',
  'iommufd',
].concat(['interrupts', 'registers', 'dma', 'portal', 'vdpa', 'mapped']);
const KINDS = process.env.IOASID_KINDS?.split(',');
const kinds = allKinds.filter((kind) => KINDS?.includes(kind) ?? true);
/** Each kind has a device of its own. */
const devices = [...Array.from({ length: 10 }, () => 'edu'), 'dsa,ready=1', 'virtio-net'];

/** Who is killed. `early`: anybody, before the command has begun; `orphan`: nobody, the command ends. */
type Victim = Role | 'orphan' | 'early';
const victims: readonly Victim[] = [
  ...(['server', 'server', 'server', 'guard', 'client', 'command', 'launcher', 'orphan', 'early'] as const),
];

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
  }
}

/** Whom there is to kill. A serve has no launcher and no command. */
async function candidates(scene: Scene, victim: Victim): Promise<number[]> {
  if (victim === 'early') return scene.living();
  if (victim === 'launcher' && !scene.serves)
    while (scene.of('launcher').length === 0 && scene.of('command').length === 0) await sleep(1);
  return scene.of(victim as Role);
}

class Kills {
  readonly #runner: Runner;
  readonly #serves: boolean;
  readonly #scratch: string;
  readonly #random: Random;
  /** Milliseconds until all had ended, at most. */
  slowest = 0;

  constructor(runner: Runner, serves: boolean, scratch: string, seed: number) {
    this.#runner = runner;
    this.#serves = serves;
    this.#scratch = scratch;
    this.#random = new Random(seed);
  }

  async round(number: number): Promise<void> {
    const victim = this.#random.pick(victims);
    const chosen = [...kinds].sort(() => this.#random.below(3) - 1).slice(0, 3);
    const orphan = victim === 'orphan' ? ['orphan'] : [];
    const scene = this.#scene(number, [...orphan, ...chosen]);
    if (victim !== 'early' && victim !== 'launcher') await scene.busy();
    const done = await this.#strike(scene, victim);
    const what = `round ${number} of seed ${SEED} (${chosen.join(', ')}): ${done}`;
    if (victim === 'orphan' && this.#serves) kill(scene.pid, 'SIGTERM');
    await this.#end(scene, what, ['server', 'guard']);
    // Who has not been killed with his server goes on, and can still be.
    this.slowest = Math.max(this.slowest, await scene.kill(what, PATIENCE_MS));
    assert.deepEqual(await scene.leftovers(PATIENCE_MS), [], what);
  }

  #scene(number: number, words: readonly string[]): Scene {
    const scratch = join(this.#scratch, String(number));
    mkdirSync(scratch);
    chmodSync(scratch, 0o777);
    return new Scene({
      runner: this.#runner,
      devices: devices.flatMap((device) => ['--device', device]),
      program: [testProgram('restless'), ...words],
      folder: this.#serves ? join(this.#scratch, `${number}.dev`) : undefined,
      scratch,
    });
  }

  /** Kills somebody. @returns what was done. */
  async #strike(scene: Scene, victim: Victim): Promise<string> {
    if (victim === 'orphan') return 'the command ended before those that it had started';
    const random = this.#random;
    if (victim !== 'launcher') await sleep(random.below(300));
    const found = await candidates(scene, victim);
    if (victim === 'launcher') await sleep(random.below(50));
    const pid = found.length === 0 ? scene.pid : random.pick(found);
    const signal = random.below(3) === 0 ? 'SIGTERM' : 'SIGKILL';
    const role = scene.roleOf(pid);
    scene.look();
    kill(pid, signal);
    if (role === 'server' && signal === 'SIGKILL' && !scene.serves)
      await this.#end(scene, 'the server was killed');
    else if (role !== 'server') kill(scene.pid, 'SIGTERM');
    return `${signal} to ${pid}, ${role}`;
  }

  async #end(scene: Scene, after: string, roles: readonly Role[] = []): Promise<void> {
    this.slowest = Math.max(this.slowest, await scene.end(after, PATIENCE_MS, roles));
  }
}

test('whoever is killed, at whatever moment, all end within 5 s and nothing is left', {
  timeout: 60_000 + KILLS * 10_000,
}, async (t) => {
  const root = self.skip || (launchMode() === 'root' ? false : 'needs root');
  const mounting = mounter();
  const all: readonly [string, Runner, boolean, skip: string | false][] = [
    ['run', self, false, self.skip],
    ['serve', self, true, root],
    ["a plain user's run", user, false, user.skip],
    ["a plain user's serve", mounting, true, mounting.skip],
  ];
  const ways = all.filter(([name]) => WAYS?.includes(name) ?? true);
  assert.ok(ways.length > 0, `IOASID_WAYS names some of: ${all.map(([name]) => name)}`);
  assert.ok(kinds.length > 0, `IOASID_KINDS names some of: ${allKinds}`);
  const rounds = Math.ceil(KILLS / ways.length);
  for (const [way, [name, runner, serves, skip]] of ways.entries())
    await t.test(name, { skip: skip || missingCompiler() }, async (t) => {
      const scratch = mkdtempSync(join(tmpdir(), 'ioasid-kills-'));
      chmodSync(scratch, 0o777);
      t.after(() => rmSync(scratch, { recursive: true }));
      const kills = new Kills(runner, serves, scratch, SEED + way);
      for (let number = 1; number <= rounds; number++) await kills.round(number);
      t.diagnostic(`${rounds} kills, seed ${SEED}; all had ended after ${kills.slowest} ms at most`);
    });
});
