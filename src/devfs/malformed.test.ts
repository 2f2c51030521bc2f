/** The server behind a socket instead of /dev/fuse, so that it can be sent what no kernel sends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Errno } from '../linux/errno.js';
import { address, check, lastErrno, libc, loadKoffi } from '../linux/ffi.js';
import { FakeNode } from '../testkit/mounted.js';
import { FuseServer } from './fuse-server.js';
import { Opcode } from './fuse-wire.js';

const AF_UNIX = 1;
const SOCK_SEQPACKET_NONBLOCK = 5 | 0o4000;
const ROOT = 1;

class Wire {
  readonly #ours: number;
  readonly #theirs: number;
  readonly #bytes = new Uint8Array(1 << 16);
  readonly #address = address(this.#bytes);
  readonly node = new FakeNode('plain', true, () => 1);
  readonly server: FuseServer;

  constructor() {
    const ends = new Int32Array(32);
    const socketpair = loadKoffi()
      .load(null)
      .func('int socketpair(int domain, int type, int protocol, uintptr_t fds)');
    check(
      socketpair(AF_UNIX, SOCK_SEQPACKET_NONBLOCK, 0, address(new Uint8Array(ends.buffer))) as number,
      'socketpair',
    );
    [this.#ours, this.#theirs] = [ends[0]!, ends[1]!];
    this.server = new FuseServer(this.#theirs, [this.node]);
  }

  /** Sends a request and lets it be served. @returns the replies. */
  send(request: Uint8Array): { error: number; unique: number; bytes: Uint8Array }[] {
    this.#bytes.set(request);
    check(libc().write(this.#ours, this.#address, request.length), 'write');
    assert.equal(this.server.serve(), true);
    while (this.server.step());
    const replies = [];
    for (;;) {
      const length = libc().read(this.#ours, this.#address, this.#bytes.length);
      if (length === -1 && lastErrno() === Errno.EAGAIN) return replies;
      const words = new DataView(this.#bytes.buffer);
      assert.equal(words.getUint32(0, true), length);
      replies.push({
        error: words.getInt32(4, true),
        unique: words.getUint32(8, true),
        bytes: this.#bytes.slice(16, length),
      });
    }
  }

  close(): void {
    libc().close(this.#ours);
    assert.equal(this.server.serve(), false);
    libc().close(this.#theirs);
  }
}

/** A request: header, then `body`. */
function request(opcode: number, unique: number, node: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(40 + body.length);
  new Uint32Array(bytes.buffer, 0, 10).set([bytes.length, opcode, unique, 0, node, 0, 0, 0, process.pid, 0]);
  bytes.set(body, 40);
  return bytes;
}

const noReply = new Set<number>([Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT]);

test('any request is answered once, whatever is in it, and the server goes on', () => {
  const wire = new Wire();
  const opcode = fc.oneof(fc.constantFrom(...Object.values(Opcode)), fc.nat(70), fc.nat());
  const node = fc.oneof(fc.nat(6), fc.nat());
  fc.assert(
    fc.property(opcode, node, fc.uint8Array({ maxLength: 200 }), (opcode, node, body) => {
      const replies = wire.send(request(opcode, 77, node, body));
      const expected = noReply.has(opcode) && replies.length === 0 ? 0 : 1;
      assert.equal(replies.length, expected);
      for (const { error, unique } of replies) {
        assert.equal(unique, 77);
        assert.ok(error <= 0 && error > -512);
      }
    }),
    { numRuns: 3000 },
  );
  const found = wire.send(request(Opcode.LOOKUP, 78, ROOT, new TextEncoder().encode('plain\0')));
  assert.equal(found[0]!.error, 0);
  wire.close();
});

test('a file is opened, answers, and is released when the connection ends', () => {
  const wire = new Wire();
  const entry = wire.send(request(Opcode.LOOKUP, 1, ROOT, new TextEncoder().encode('plain\0')))[0]!;
  const node = new DataView(entry.bytes.buffer).getUint32(0, true);
  const opened = wire.send(request(Opcode.OPEN, 2, node, new Uint8Array(8)))[0]!;
  const handle = new DataView(opened.bytes.buffer).getUint32(0, true);
  const flush = new Uint8Array(24);
  flush[0] = handle;
  assert.equal(wire.send(request(Opcode.FLUSH, 3, node, flush))[0]!.error, 0);
  flush[0] = handle + 1;
  assert.equal(wire.send(request(Opcode.FLUSH, 4, node, flush))[0]!.error, -Errno.EBADF);
  assert.equal(wire.node.files[0]!.flushes, 1);
  wire.close();
  assert.equal(wire.node.files[0]!.releases, 1);
});

test('each lookup of a device node makes a fresh inode, of a directory always the same', () => {
  const wire = new Wire();
  const nodeOf = (parent: number, name: string) => {
    const { bytes } = wire.send(request(Opcode.LOOKUP, 1, parent, new TextEncoder().encode(`${name}\0`)))[0]!;
    return new DataView(bytes.buffer).getUint32(0, true);
  };
  wire.server.update([wire.node, new FakeNode('dir/other', false, () => 2)]);
  const directory = nodeOf(ROOT, 'dir');
  assert.equal(nodeOf(ROOT, 'dir'), directory);
  const nodes = [
    nodeOf(ROOT, 'plain'),
    nodeOf(ROOT, 'plain'),
    nodeOf(directory, 'other'),
    nodeOf(directory, 'other'),
  ];
  assert.equal(new Set(nodes).size, nodes.length);
  wire.close();
});
