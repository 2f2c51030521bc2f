/** Whose calls take long waits for his turn (long-calls.ts) with the next: what that keeps, and what not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sliced } from '../file/work.js';
import { FakeFile, FakeNode } from '../testkit/mounted.js';
import { type Answer, numberIn, RequestSocket, ROOT, request } from '../testkit/request-socket.js';
import { IoctlIn, Opcode } from './fuse-wire.js';

/** Longer than an opener may keep others without waiting for his turn then. */
const LONG_MS = 2;
const LONG = 1;
const SHORT = 2;
/** Goes on until it is told to end. */
const WORK = 3;

/** One of whose ioctls takes long, and one goes on for ever. */
class SlowFile extends FakeFile {
  override ioctl(...[, { cmd }]: Parameters<FakeFile['ioctl']>): Sliced<number> {
    if (cmd === WORK) return this.#goesOn();
    const until = performance.now() + (cmd === LONG ? LONG_MS : 0);
    while (performance.now() < until);
    return 0;
  }

  *#goesOn() {
    this.working = true;
    while (this.working) yield;
    return 0;
  }
}

class SlowNode extends FakeNode {
  override open(): SlowFile {
    const file = new SlowFile(this.files.length);
    this.files.push(file);
    return file;
  }
}

interface Opened {
  readonly node: number;
  readonly handle: number;
}

function opened(socket: RequestSocket): Opened {
  const name = new TextEncoder().encode('plain\0');
  const node = numberIn(socket.send(request(Opcode.LOOKUP, 1, ROOT, name))[0]!);
  return { node, handle: numberIn(socket.send(request(Opcode.OPEN, 2, node, new Uint8Array(8)))[0]!) };
}

function ioctl({ node, handle }: Opened, unique: number, cmd: number): Uint8Array {
  const body = new Uint32Array(8);
  [body[IoctlIn.handle - 10], body[IoctlIn.cmd - 10]] = [handle, cmd];
  return request(Opcode.IOCTL, unique, node, new Uint8Array(body.buffer));
}

const uniques = (answers: readonly Answer[]) => answers.map(({ unique }) => unique);

/** Somebody else may open next what has been closed, and would find it busy. */
test('whose calls take long waits for his turn with the next, but closes his files at once', () => {
  const socket = new RequestSocket(new SlowNode('plain', false, () => 0));
  const [called, closed] = [opened(socket), opened(socket)];
  const release = new Uint32Array([closed.handle, 0, 0, 0, 0, 0]);
  socket.put(ioctl(called, 3, LONG));
  socket.put(ioctl(called, 4, SHORT));
  socket.put(request(Opcode.RELEASE, 5, closed.node, new Uint8Array(release.buffer)));
  assert.equal(socket.server.serve(), true);
  assert.deepEqual(uniques(socket.answers()), [3, 5]);
  assert.equal(socket.node.files[1]!.releases, 1);
  while (socket.server.step());
  assert.deepEqual(uniques(socket.answers()), [4]);
  socket.close();
});

test('a call on a file that is busy keeps none of the others for which their opener waits', () => {
  const socket = new RequestSocket(new SlowNode('plain', false, () => 0));
  const [busy, other] = [opened(socket), opened(socket)];
  socket.put(ioctl(busy, 3, WORK));
  socket.put(ioctl(other, 4, LONG));
  socket.put(ioctl(busy, 5, SHORT));
  socket.put(ioctl(other, 6, SHORT));
  assert.equal(socket.server.serve(), true);
  for (let turn = 0; turn < 10; turn++) socket.server.step();
  assert.deepEqual(uniques(socket.answers()), [4, 6]);
  socket.node.files[0]!.working = false;
  while (socket.server.step());
  assert.deepEqual(uniques(socket.answers()), [3, 5]);
  socket.close();
});
