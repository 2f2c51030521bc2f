/**
 * A FuseServer behind a socket instead of /dev/fuse: it can be sent what no kernel sends, and be served and
 * go on when the test says so.
 */
import assert from 'node:assert/strict';
import { FuseServer } from '../devfs/fuse-server.js';
import { Errno } from '../linux/errno.js';
import { address, check, lastErrno, libc, loadKoffi } from '../linux/ffi.js';
import { FakeNode } from './mounted.js';

const AF_UNIX = 1;
const SOCK_SEQPACKET_NONBLOCK = 5 | 0o4000;
/** The inode of the root directory. */
export const ROOT = 1;

export interface Answer {
  readonly error: number;
  readonly unique: number;
  readonly bytes: Uint8Array;
}

export class RequestSocket {
  readonly #ours: number;
  readonly #theirs: number;
  readonly #bytes = new Uint8Array(1 << 16);
  readonly #address = address(this.#bytes);
  readonly node: FakeNode;
  readonly server: FuseServer;

  constructor(node = new FakeNode('plain', true, () => 1)) {
    this.node = node;
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

  /** Sends a request and lets it be served, to its end. @returns the answers. */
  send(request: Uint8Array): Answer[] {
    this.put(request);
    assert.equal(this.server.serve(), true);
    while (this.server.step());
    return this.answers();
  }

  /** Sends a request: it is there when the server looks next. */
  put(request: Uint8Array): void {
    this.#bytes.set(request);
    check(libc().write(this.#ours, this.#address, request.length), 'write');
  }

  /** What has been answered, and was not read yet. */
  answers(): Answer[] {
    const answers = [];
    for (;;) {
      const length = libc().read(this.#ours, this.#address, this.#bytes.length);
      if (length === -1 && lastErrno() === Errno.EAGAIN) return answers;
      const words = new DataView(this.#bytes.buffer);
      assert.equal(words.getUint32(0, true), length);
      answers.push({
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

/** A request of this process: header, then `body`. */
export function request(opcode: number, unique: number, node: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(40 + body.length);
  new Uint32Array(bytes.buffer, 0, 10).set([bytes.length, opcode, unique, 0, node, 0, 0, 0, process.pid, 0]);
  bytes.set(body, 40);
  return bytes;
}

/** The number that an answer begins with: an inode, a handle. */
export function numberIn({ bytes }: Answer): number {
  return new DataView(bytes.buffer).getUint32(0, true);
}
