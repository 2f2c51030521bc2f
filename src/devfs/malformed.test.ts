/** The server behind a socket instead of /dev/fuse, so that it can be sent what no kernel sends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Errno } from '../linux/errno.js';
import { FakeNode } from '../testkit/mounted.js';
import { numberIn, RequestSocket, ROOT, request } from '../testkit/request-socket.js';
import { Opcode } from './fuse-wire.js';

const noReply = new Set<number>([Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT]);

test('any request is answered once, whatever is in it, and the server goes on', () => {
  const wire = new RequestSocket();
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
  const wire = new RequestSocket();
  const entry = wire.send(request(Opcode.LOOKUP, 1, ROOT, new TextEncoder().encode('plain\0')))[0]!;
  const node = numberIn(entry);
  const opened = wire.send(request(Opcode.OPEN, 2, node, new Uint8Array(8)))[0]!;
  const handle = numberIn(opened);
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
  const wire = new RequestSocket();
  const nodeOf = (parent: number, name: string) => {
    const lookup = request(Opcode.LOOKUP, 1, parent, new TextEncoder().encode(`${name}\0`));
    return numberIn(wire.send(lookup)[0]!);
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
