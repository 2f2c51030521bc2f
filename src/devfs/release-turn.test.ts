/**
 * A file that is closed is released at once, though its opener waits for his turn: somebody else may open
 * next what has been closed, and would find it busy.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeFile, FakeNode } from '../testkit/mounted.js';
import { type Answer, numberIn, RequestSocket, ROOT, request } from '../testkit/request-socket.js';
import { IoctlIn, Opcode } from './fuse-wire.js';

/** Longer than an opener may keep others without waiting for his turn then (long-calls.ts). */
const LONG_MS = 2;
const LONG = 1;
const SHORT = 2;

/** One of whose ioctls takes long. */
class SlowFile extends FakeFile {
  override ioctl(...[, { cmd }]: Parameters<FakeFile['ioctl']>): number {
    const until = performance.now() + (cmd === LONG ? LONG_MS : 0);
    while (performance.now() < until);
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

const uniques = (answers: readonly Answer[]) => answers.map(({ unique }) => unique);

test('whose calls take long waits for his turn with the next, but closes his files at once', () => {
  const socket = new RequestSocket(new SlowNode('plain', false, () => 0));
  const open = () => {
    const name = new TextEncoder().encode('plain\0');
    const node = numberIn(socket.send(request(Opcode.LOOKUP, 1, ROOT, name))[0]!);
    return { node, handle: numberIn(socket.send(request(Opcode.OPEN, 2, node, new Uint8Array(8)))[0]!) };
  };
  const [called, closed] = [open(), open()];
  const ioctl = (unique: number, cmd: number) => {
    const body = new Uint32Array(8);
    [body[IoctlIn.handle - 10], body[IoctlIn.cmd - 10]] = [called.handle, cmd];
    return request(Opcode.IOCTL, unique, called.node, new Uint8Array(body.buffer));
  };
  const release = new Uint32Array([closed.handle, 0, 0, 0, 0, 0]);
  socket.put(ioctl(3, LONG));
  socket.put(ioctl(4, SHORT));
  socket.put(request(Opcode.RELEASE, 5, closed.node, new Uint8Array(release.buffer)));
  assert.equal(socket.server.serve(), true);
  assert.deepEqual(uniques(socket.answers()), [3, 5]);
  assert.equal(socket.node.files[1]!.releases, 1);
  while (socket.server.step());
  assert.deepEqual(uniques(socket.answers()), [4]);
  socket.close();
});
