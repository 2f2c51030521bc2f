/**
 * A device model that keeps the server's thread, wherever it does so: the server says which model and in
 * what, and ends in order, with status 125, whatever signal comes meanwhile. Nothing is left.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf, descendantsNamed } from '../../testkit/descendants.js';
import { client, devices, faulty, modelOfTests, runClient } from '../../testkit/faulty-model.js';
import {
  bin,
  guardsOf,
  ioasid,
  isAlive,
  mountsBelow,
  Running,
  until,
  withoutFuse,
} from '../../testkit/processes.js';

const [AT_ONCE, IN_TIMER, IN_MICROTASKS, IN_PROMISES, WAITS_IN_IMMEDIATE, IN_SIGNAL] = [
  11, 13, 14, 15, 16, 17,
];

const stepping = `${faulty},steps=yes`;
const access = (what: number) =>
  `a write of 4 bytes, 0x${what.toString(16).padStart(8, '0')}, at 0x0 of BAR 0`;
const left = (what: number) =>
  `a timer, microtask or promise of vfio0 (${faulty}) has not returned for 2 s, after ${access(what)}`;

/** Where it loops once it runs: what the program writes, the device, and what the server says. */
const places: readonly [what: number, device: readonly string[], said: string][] = [
  [AT_ONCE, devices, `writeBar of vfio0 (${faulty}) has not returned for 2 s, in ${access(AT_ONCE)}`],
  [
    AT_ONCE,
    ['-d', stepping],
    `step of vfio0 (${stepping}) has not returned for 2 s, after ${access(AT_ONCE)}`,
  ],
  [IN_TIMER, devices, left(IN_TIMER)],
  [IN_MICROTASKS, devices, left(IN_MICROTASKS)],
  [IN_PROMISES, devices, left(IN_PROMISES)],
  [WAITS_IN_IMMEDIATE, devices, left(WAITS_IN_IMMEDIATE)],
];

/** `devices`, of which the first says when it loops. */
const saying = ['-d', `${faulty},says=yes`, ...devices.slice(2)];
const loops = 'it loops';
const writes = (what: number) => `write(open(0), ${what}); setTimeout(() => {}, 60_000);`;

/** A run whose model loops, for `what`, with a process beside; all that have to end with it. */
async function started(what: number): Promise<{ running: Running; all: number[] }> {
  const command = ['sh', '-c', 'sleep 1000 & exec "$@"', 'sh', ...client(writes(what))];
  const running = Running.ioasid(['run', ...saying, '--', ...command]);
  await running.says(loops);
  const all = childrenOf(running.pid).flatMap((pid) => [pid, ...childrenOf(pid)]);
  return { running, all: [...all, ...guardsOf(all[0]!)] };
}

const gone = (all: readonly number[]) => until(() => !all.some(isAlive), `the end of processes ${all}`);

describe('a device model that loops', { skip: withoutFuse }, () => {
  for (const [what, device, said] of places)
    it(`ends run: ${said}, by ${what}`, () => {
      const { status, stderr } = runClient(writes(what), device);
      assert.deepEqual([status, stderr], [125, `ioasid: the server ends: ${said}\n`]);
    });

  for (const [device, said] of [
    [`${faulty},loads=${AT_ONCE}`, `the factory of vfio0 (${faulty},loads=${AT_ONCE})`],
    [
      `${faulty},loads=${IN_PROMISES}`,
      `a timer, microtask or promise of vfio0 (${faulty},loads=${IN_PROMISES})`,
    ],
    [modelOfTests('loops-at-import'), `the import of ${modelOfTests('loops-at-import')}`],
  ] as const)
    it(`before there is a command ends run: ${said.replace(/\S*\//, '')}`, () => {
      const { status, stdout, stderr } = ioasid(['run', '-d', device, '--', 'echo', 'begun']);
      assert.deepEqual([status, stdout], [125, '']);
      assert.match(
        stderr.replaceAll(said, 'it'),
        /^ioasid: the server ends: it has not returned for \d+ s\n$/,
      );
    });

  it('where nobody knows that it is a model ends run too, after more computing', async () => {
    const { running, all } = await started(IN_SIGNAL);
    assert.deepEqual(await running.ended, { status: 125, signal: null });
    assert.match(running.output, /^ioasid: the server has been caught for 5 s: it computes$/m);
    assert.match(
      running.output,
      /^ioasid: the server ends: its thread has computed for 10 s, in nothing that/m,
    );
    await gone(all);
  });

  for (const what of [AT_ONCE, IN_TIMER])
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      it(`ends run when ${signal} comes meanwhile, and nothing is left, by ${what}`, async () => {
        const { running, all } = await started(what);
        running.kill(signal);
        assert.deepEqual(await running.ended, { status: 125, signal: null });
        assert.doesNotMatch(running.output, /FUSE/);
        await gone(all);
      });

  it('leaves nothing when run is killed meanwhile', async () => {
    const { running, all } = await started(AT_ONCE);
    running.kill('SIGKILL');
    await running.ended;
    await gone(all);
  });

  it('leaves nothing when timeout(1) has sent its signal, or whoever started run is killed', async () => {
    // Processes are found by what they are told to sleep.
    const mark = `1000.${process.pid}`;
    const command = ['sh', '-c', `sleep ${mark} & exec "$@"`, 'sh', ...client(writes(AT_ONCE))];
    const run = [process.execPath, bin, 'run', ...saying, '--', ...command];
    const timed = new Running(['timeout', '1000', ...run]);
    await timed.says(loops);
    timed.kill('SIGALRM'); // What its timer would send it.
    assert.deepEqual(await timed.ended, { status: 124, signal: null });
    await until(() => descendantsNamed(mark).length === 0, 'the end of all processes');
    const parent = new Running(['sh', '-c', '"$@" & wait', 'sh', ...run]);
    await parent.says(loops);
    assert.ok(descendantsNamed(mark).length > 0);
    parent.kill('SIGKILL');
    await until(() => descendantsNamed(mark).length === 0, 'the end of all processes');
  });

  it('ends serve the same way, and its folder is unmounted', async (t) => {
    const folder = emptyFolder(t);
    const server = Running.ioasid(['serve', ...devices, folder]);
    await server.says('vfio2');
    const program = new Running(client(writes(IN_TIMER), folder));
    assert.deepEqual(await server.ended, { status: 125, signal: null });
    assert.ok(server.output.includes(left(IN_TIMER)), server.output);
    await until(() => mountsBelow(folder).length === 0, 'the folder to be unmounted');
    program.kill('SIGKILL');
    await program.ended;
    assert.deepEqual(readdirSync(folder), []);
  });
});

describe('a device model that takes its time', { skip: withoutFuse }, () => {
  it('at a breakpoint of a debugger is left alone', async () => {
    const debugged = [process.execPath, '--inspect=0', bin, 'run', ...saying];
    const run = new Running([...debugged, '--', ...client(writes(AT_ONCE))]);
    await run.says(loops);
    await sleep(4000);
    assert.deepEqual([run.process.exitCode, run.process.signalCode], [null, null]);
    run.kill('SIGKILL');
    await run.ended;
  });

  it('in its import, waiting, is left alone until a signal comes', async (t) => {
    const waits = ['-d', modelOfTests('waits-at-import')];
    const run = Running.ioasid(['run', ...waits, '--', 'true']);
    const serve = Running.ioasid(['serve', ...waits, emptyFolder(t)]);
    await sleep(1000);
    for (const server of [run, serve]) {
      server.kill('SIGTERM');
      assert.deepEqual(await server.ended, { status: null, signal: 'SIGTERM' });
      assert.equal(server.output, '');
    }
  });
});

function emptyFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}
