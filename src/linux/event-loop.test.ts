import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EpollSet } from './epoll-set.js';
import { type LoopSource, runLoop } from './event-loop.js';
import { address, check, libc } from './ffi.js';

const timeout = 30_000;
const O_NONBLOCK = 0o4000;

/** A pipe as a source; each byte is a request. */
class Pipe implements LoopSource {
  readonly fd: number;
  /** Where bytes are written. */
  readonly writer: number;
  readonly #byte = new Uint8Array(128);
  readonly #onByte: () => void;

  constructor(onByte: () => void = () => {}) {
    const ends = new Int32Array(32);
    check(libc().pipe2(address(new Uint8Array(ends.buffer)), O_NONBLOCK), 'pipe2');
    [this.fd, this.writer] = [ends[0]!, ends[1]!];
    this.#onByte = onByte;
  }

  send(): void {
    libc().write(this.writer, address(this.#byte), 1);
  }

  end(): void {
    libc().close(this.writer);
  }

  ready(between: () => boolean): boolean {
    for (;;) {
      const length = libc().read(this.fd, address(this.#byte), 1);
      if (length === 0) libc().close(this.fd);
      if (length !== 1) return length === -1;
      this.#onByte();
      if (!between()) return true;
    }
  }
}

const idle = () => false;

test('the loop ends when every source has ended', { timeout }, async () => {
  const pipes = [new Pipe(), new Pipe()];
  const loop = runLoop(pipes, idle);
  pipes[0]!.end();
  await sleep(20);
  pipes[1]!.end();
  await loop;
});

test('who begins a loop goes on before anything else comes', { timeout }, async (t) => {
  const log: string[] = [];
  const [ours, late] = [new Pipe(() => log.push('ours')), new Pipe(() => log.push('late'))];
  const child = spawn('sh', ['-c', 'sleep 2; echo >&3'], {
    stdio: ['ignore', 'ignore', 'ignore', late.writer],
  });
  t.after(() => child.kill());
  await once(child, 'spawn');
  const loop = runLoop([ours, late], idle);
  ours.send();
  while (log.length < 2) await sleep(5);
  for (const pipe of [ours, late]) pipe.end();
  await loop;
  assert.deepEqual(log, ['ours', 'late']);
});

test('a passive source does not keep the loop going', { timeout }, async () => {
  const pipes = [new Pipe(), Object.assign(new Pipe(), { passive: true })];
  const loop = runLoop(pipes, idle);
  pipes[0]!.end();
  await loop;
  pipes[1]!.end();
});

test('the loop ends when it is told to', { timeout }, async () => {
  const pipe = new Pipe();
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 10);
  await runLoop([pipe], idle, { signal: stop.signal });
});

test('an idle loop gives Node no turns', { timeout }, async () => {
  const pipe = new Pipe();
  let turns = 0;
  const loop = runLoop([pipe], idle, { onTurn: () => turns++ });
  await sleep(50);
  const before = turns;
  await sleep(500);
  assert.ok(turns - before <= 5, `${turns - before} turns`);
  pipe.end();
  await loop;
});

test('timers, sockets, children, signals, promises and immediates go on', { timeout }, async () => {
  const pipe = new Pipe();
  const loop = runLoop([pipe], idle);
  const signal = new Promise((resolve) => process.once('SIGUSR2', resolve));
  process.kill(process.pid, 'SIGUSR2');
  await signal;
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => process.nextTick(resolve));
  const child = spawn('sleep', ['0.05']);
  assert.equal(await new Promise((resolve) => child.on('exit', resolve)), 0);
  const server = createServer((socket) => socket.end('hello'));
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as { port: number };
  let text = '';
  for await (const part of connect(port)) text += part;
  assert.equal(text, 'hello');
  server.close();
  pipe.end();
  await loop;
});

test('what a handler leaves on the queues of promises and ticks happens without another event', {
  timeout,
}, async () => {
  const happened: string[] = [];
  const pipe = new Pipe(() => {
    void Promise.resolve().then(() => happened.push('promise'));
    process.nextTick(() => happened.push('tick'));
    setImmediate(() => happened.push('immediate'));
    setTimeout(() => pipe.end(), 20);
  });
  const loop = runLoop([pipe], idle);
  pipe.send();
  await loop;
  assert.deepEqual(happened.sort(), ['immediate', 'promise', 'tick']);
});

for (const settled of [false, true]) {
  const what = settled ? 'requests that leave nothing behind' : 'requests';
  test(`timers run while ${what} never stop`, { timeout }, async () => {
    const pipe = Object.assign(new Pipe(() => pipe.send()), { settled });
    const loop = runLoop([pipe], idle);
    pipe.send();
    await sleep(30);
    pipe.end();
    await loop;
  });
}

test('work goes on without sleeping while it returns true, and Node and the sources get their turns', {
  timeout,
}, async () => {
  let left = 1000;
  let requests = 0;
  const pipe = new Pipe(() => requests++);
  const timer = sleep(5).then(() => pipe.send());
  const loop = runLoop([pipe], () => left > 0 && (requests > 0 ? --left : left) > 0);
  await timer;
  while (left > 0) await sleep(1);
  assert.equal(requests, 1);
  pipe.end();
  await loop;
});

test('all that has come while work took long is handled before it goes on', { timeout }, async () => {
  const log: string[] = [];
  const pipe = new Pipe(() => log.push('request'));
  const loop = runLoop([pipe], (hurried) => {
    if (hurried || log.length >= 12) return false;
    libc().poll(0, 0, 20);
    for (let i = 0; i < 3; i++) pipe.send();
    log.push('work');
    return true;
  });
  while (log.length < 12) await sleep(1);
  pipe.end();
  await loop;
  const round = ['work', 'request', 'request', 'request'];
  assert.deepEqual(log.slice(0, 12), [...round, ...round, ...round]);
});

test('all that has come while a request took long is handled before work goes on', { timeout }, async () => {
  const log: string[] = [];
  const pipe = new Pipe(() => {
    log.push('request');
    if (log.length > 1) return;
    for (let i = 0; i < 3; i++) pipe.send();
    libc().poll(0, 0, 20);
  });
  const loop = runLoop([pipe], (hurried) => {
    if (!hurried && log.length > 0) log.push('work');
    return false;
  });
  pipe.send();
  while (!log.includes('work')) await sleep(1);
  pipe.end();
  await loop;
  assert.deepEqual(log.slice(0, 5), ['request', 'request', 'request', 'request', 'work']);
});

test('work is done between two requests, and no handler is entered from within another', {
  timeout,
}, async () => {
  const log: string[] = [];
  let depth = 0;
  const enter = (name: string) => {
    assert.equal(++depth, 1);
    log.push(name);
    libc().poll(0, 0, 1);
    depth--;
  };
  const pipe = new Pipe(() => enter('request'));
  for (let i = 0; i < 3; i++) pipe.send();
  const loop = runLoop([pipe], () => {
    enter('work');
    return false;
  });
  await sleep(20);
  pipe.end();
  await loop;
  const requests = log.map((name, i) => (name === 'request' ? log[i + 1] : 'work'));
  assert.deepEqual(new Set(requests), new Set(['work']));
  assert.equal(log.filter((name) => name === 'request').length, 3);
});

/** What own epoll sets watch, by fdinfo, that is an epoll set. */
function nestedSets(): string[] {
  const isSet = (fd: string) => target(fd) === 'anon_inode:[eventpoll]';
  return readdirSync('/proc/self/fd')
    .filter(isSet)
    .flatMap((fd) => [...readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1').matchAll(/^tfd:\s+(\d+)/gm)])
    .map(([, watched]) => watched!)
    .filter(isSet);
}

function target(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

test('no epoll set is in another: to add to such a one takes a lock that any program may hold', {
  timeout,
}, async () => {
  const set = new EpollSet(1);
  const pipe = new Pipe(() => assert.deepEqual(nestedSets(), []));
  const nested: LoopSource = { fd: set.fd, passive: true, ready: () => true };
  pipe.send();
  pipe.end();
  await runLoop([pipe, nested], () => false);
  libc().close(set.fd);
});
