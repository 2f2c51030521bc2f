/** Calls as an outer server hands them on: at a socket, not at a listener of seccomp's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { libc } from '../linux/ffi.js';
import { writeCall } from '../linux/trapped-call.js';
import { packetPair } from '../testkit/fuzz/packets.js';
import { newFdIoctls } from '../uapi/new-fd.js';
import { FuseServer } from './fuse-server.js';
import { Opcode } from './fuse-wire.js';
import type { StandIn } from './stand-in.js';

/** ioctl (asm/unistd.h). */
const SYS_ioctl = process.arch === 'x64' ? 16 : 29;

test('whoever stands in for the serving thread is told whose trapped ioctl it serves, until it has', () => {
  const [[kernel, fuse], [outer, calls]] = [packetPair(), packetPair()];
  const told: [opcode: number, tid: number][] = [];
  const standIn = {
    end: () => undefined,
    take: () => 0,
    serves: (opcode: number, tid: number) => told.push([opcode, tid]),
  } as unknown as StandIn;
  const server = new FuseServer(fuse, [], { standIn });
  const source = server.trapped({ listener: fuse, calls, root: fuse });
  const ints = [-1, newFdIoctls[0]!, 0, 0, 0, 0];
  writeCall(outer, { id: 1n, tid: process.pid, nr: SYS_ioctl, args: ints.map((each) => each >>> 0), ints });
  assert.equal(
    source.ready(() => true),
    true,
  );
  assert.deepEqual(told, [
    [Opcode.IOCTL, process.pid],
    [0, 0],
  ]);
  for (const fd of [kernel, fuse, outer, calls]) libc().close(fd);
});
