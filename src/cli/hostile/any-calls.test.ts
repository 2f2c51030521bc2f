/**
 * Random calls, valid and invalid, on every kind of file and on the control socket, by several processes at
 * once, some of which are killed (tests/c/anycall). After each round the server is alive, complains of
 * nothing, and holds what it held before: no context, PASID, mapping, memory or device, no descriptor,
 * nothing that is charged to anybody, and, its garbage collected, no memory of its own.
 *
 * IOASID_CALLS is how many acts there are in all (`IOASID_CALLS=1000000 npm run test:hostile`), IOASID_SEED
 * makes each process choose the same again.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { Running, runner, until } from '../../testkit/processes.js';
import { ask } from '../control-socket.js';
import type { ServiceState } from '../service.js';

const CALLS = Number(process.env.IOASID_CALLS ?? 20_000);
const SEED = Number(process.env.IOASID_SEED ?? 1);
const ROUNDS = 8;
const PROCESSES = 4;
/** Of a round, and of what comes after its processes have ended. */
const PATIENCE_MS = 20_000;
/** What code is compiled to, and what is kept up to a limit (faults, reasons), for all rounds together. */
const HEAP_BYTES = 4 * 2 ** 20;
/** The address space of the caller served last is kept: by what serves FUSE, and by what serves seccomp. */
const lastCaller = ['/proc//mem', '/proc//maps', 'anon_inode:[pidfd]'];
/** What the first signal of an eventfd needs is kept for the next (linux/completion-signal.ts). */
const keptForLater = [...lastCaller, ...lastCaller, '/dev/null'];
const folder = mkdtempSync(join(tmpdir(), 'ioasid-any-'));
after(() => rmSync(folder, { recursive: true }));
const disk = join(folder, 'disk');
writeFileSync(disk, new Uint8Array(1 << 20));
for (const path of [folder, disk]) chmodSync(path, 0o777);
const devices = ['dsa,mdevs=8', 'edu', 'edu', 'virtio-net', 'virtio-net', 'virtio-net', 'virtio-net']
  .concat([`virtio-blk,file=${disk}`, `virtio-blk,file=${disk}`])
  .flatMap((device) => ['--device', device]);
const environment = {
  NODE_OPTIONS: `--import ${new URL('../../testkit/collecting.js', import.meta.url).href}`,
};

/** What a server holds. */
interface Holdings {
  readonly state: ServiceState;
  /** What they mean, without sockets: one is that of whoever asks. */
  readonly descriptors: readonly string[];
}

/** What a descriptor means, whichever process's; empty for a socket, and for one that is closed by now. */
function target(path: string): string {
  try {
    return readlinkSync(path).replace(/^socket:.*|\d+/g, '');
  } catch {
    return '';
  }
}

async function holdings({ pid }: Running): Promise<Holdings> {
  const answer = await ask({ uid: runner.uid, pid });
  assert.ok(answer !== undefined, 'the server does not answer on its control socket');
  const descriptors = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => target(`/proc/${pid}/fd/${fd}`) || []);
  return { state: answer.state as ServiceState, descriptors };
}

/** The server's memory, in bytes, when it has no garbage (testkit/collecting.ts). */
async function memory(server: Running): Promise<number> {
  const told = () =>
    [...server.output.matchAll(/^bytes without garbage: (\d+)$/gm)].map(([, n]) => Number(n));
  const before = told().length;
  server.kill('SIGURG');
  await until(() => told().length > before, 'the server tells its memory');
  return told().at(-1)!;
}

/** What is left of a round, without what it may: nothing, in the end. */
function left({ state, descriptors }: Holdings, before: Holdings): string[] {
  const { contexts, pasids, mappings, memories, openers } = state;
  const counts = { contexts: contexts.length, pasids: pasids.used, mappings, memories };
  const some = Object.entries(counts).filter(([, count]) => count > 0);
  const held = state.devices.filter(({ pid, authorizations, busy }) => pid || authorizations.length || busy);
  const known = [...before.descriptors, ...keptForLater];
  const more = descriptors.filter((each) => {
    const at = known.indexOf(each);
    if (at >= 0) known.splice(at, 1);
    return at < 0;
  });
  const charged = openers.map(({ opener, holds }) => `${JSON.stringify(holds)} of ${opener}`);
  return [
    ...some.map(([what, count]) => `${count} ${what}`),
    ...held.map(({ name }) => name),
    ...charged,
    ...more,
  ];
}

/** Returns when nothing is left. */
async function settled(server: Running, before: Holdings, what: string): Promise<Holdings> {
  for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(20)) {
    const now = await holdings(server);
    const rest = left(now, before);
    if (rest.length === 0) return now;
    if (Date.now() > deadline) assert.fail(`after ${what} there are still ${rest.join(', ')}`);
  }
}

async function round(server: Running, seed: number): Promise<void> {
  const rounds = () => server.output.match(/^done$/gm)?.length ?? 0;
  const before = rounds();
  const acts = Math.ceil(CALLS / ROUNDS / PROCESSES);
  server.process.stdin.write(`${seed} ${PROCESSES} ${acts}\n`);
  for (const deadline = Date.now() + PATIENCE_MS + 10 * acts; rounds() === before; await sleep(20)) {
    assert.equal(server.process.exitCode, null, `the server has ended: ${server.output}`);
    if (Date.now() > deadline) assert.fail(`the processes of seed ${seed} do not end`);
  }
}

/** Calls that have not succeeded once, of those that were made often. */
function neverDone(output: string): string[] {
  const last = output.slice(output.lastIndexOf('ioasid info: '));
  return [...last.matchAll(/^(.*): 0 of \d+$/gm)].map(([, name]) => name!);
}

test('whatever calls are made, the server goes on, and holds nothing when they have ended', {
  skip: runner.skip || missingCompiler(),
  timeout: 120_000 + CALLS,
}, async (t) => {
  const command = ['--', testProgram('anycall'), '/dev'];
  const server = Running.ioasid(['run', '--iommu-test', ...devices, ...command], runner, environment);
  t.after(() => server.kill('SIGKILL'));
  await round(server, SEED);
  const before = await settled(server, await holdings(server), 'the first round');
  const memoryBefore = await memory(server);
  for (let number = 1; number < ROUNDS; number++) {
    await round(server, SEED + number);
    await settled(server, before, `round ${number} from seed ${SEED} on`);
    assert.doesNotMatch(server.output, /failed inside ioasid/);
  }
  const grown = (await memory(server)) - memoryBefore;
  assert.ok(grown < HEAP_BYTES, `the server has ${grown} bytes more after ${CALLS} calls`);
  const undone = neverDone(server.output);
  // What succeeds by a long chain of calls only may not have come in a short run.
  assert.ok(undone.length < 28, `hardly anything succeeds: ${undone.join(', ')}`);
  t.diagnostic(
    `${CALLS} acts; memory grew by ${Math.round(grown / 1024)} KiB; never done: ${undone.join(', ')}`,
  );
  server.process.stdin.end();
  assert.deepEqual(await server.ended, { status: 0, signal: null }, server.output);
});
