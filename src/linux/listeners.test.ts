import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runLoop } from './event-loop.js';
import { address, check, libc } from './ffi.js';
import { Listeners } from './listeners.js';
import { connectTo, listenAt } from './local-socket.js';

const timeout = 30_000;
const RLIMIT_NOFILE = 7;
const name = (kind: string) => `\0ioasid-listeners/${process.pid}/${kind}`;

/** Listeners at names of these kinds, in a loop of their own until the test ends, and who was taken there. */
function listening(kinds: readonly string[], end: AbortSignal) {
  const [listeners, taken] = [new Listeners(), new Map(kinds.map((kind) => [kind, [] as number[]]))];
  for (const kind of kinds) listeners.add(listenAt(name(kind)), (fd) => taken.get(kind)!.push(fd));
  // Not passive: the loop goes on for its sake.
  const source = { fd: listeners.fd, ready: () => listeners.ready() };
  return { listeners, taken, loop: runLoop([source], () => false, { signal: end }) };
}

/** Puts the limit of open files to `soft`. @returns what it was. */
function limitFiles(soft: bigint): bigint {
  const limit = Buffer.alloc(128);
  check(libc().prlimit64(0, RLIMIT_NOFILE, 0, address(limit)), 'the limit is not known');
  const before = limit.readBigUInt64LE(0);
  limit.writeBigUInt64LE(soft, 0);
  check(libc().prlimit64(0, RLIMIT_NOFILE, address(limit), 0), 'the limit cannot be set');
  return before;
}

test('all who come at once are taken, each where he has come to', { timeout }, async () => {
  const stop = new AbortController();
  const { taken, loop } = listening(['one', 'other'], stop.signal);
  const count = 150;
  const clients = Array.from({ length: count }, (_, i) => connectTo(name(i % 3 === 0 ? 'other' : 'one')));
  const lengths = () => [...taken.values()].map(({ length }) => length);
  while (lengths()[0]! + lengths()[1]! < count) await sleep(1);
  assert.deepEqual(lengths(), [100, 50]);
  clients.push(connectTo(name('one')));
  while (lengths()[0]! < 101) await sleep(1);
  stop.abort();
  await loop;
  for (const fd of [...clients, ...[...taken.values()].flat()]) closeSync(fd);
});

test('who comes when there is no descriptor left is taken when there is', { timeout }, async (t) => {
  const stop = new AbortController();
  const { listeners, taken, loop } = listening(['full'], stop.signal);
  const client = connectTo(name('full'));
  // The next that is opened would be above it.
  const before = limitFiles(BigInt(client + 1));
  const full = connectTo.bind(undefined, name('none'));
  assert.throws(full, { code: 'EMFILE' });
  const timers = t.mock.method(globalThis, 'setTimeout').mock;
  for (let i = 0; i < 20; i++) listeners.ready();
  assert.ok(timers.callCount() <= 1, 'however many come, one look again is enough');
  await sleep(50);
  assert.deepEqual(taken.get('full'), []);
  limitFiles(before);
  while (taken.get('full')!.length === 0) await sleep(1);
  stop.abort();
  await loop;
  for (const fd of [client, ...taken.get('full')!]) closeSync(fd);
});
