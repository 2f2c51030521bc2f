/**
 * ForeignFilesystem: a FUSE filesystem of somebody else's, with one file, whose server falls silent when it
 * is told to: then it has no path any more, and whoever wants something of it waits.
 *
 * Invariant: nobody waits for it longer than until `disconnect`, which the end of the test does too.
 */
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FuseServer } from '../devfs/fuse-server.js';
import { Opcode } from '../devfs/fuse-wire.js';
import { runLoop } from '../linux/event-loop.js';
import { addressOf, libc } from '../linux/ffi.js';
import { mountFuse, unmountFuse } from '../linux/fuse-mount.js';
import { FakeFile } from './mounted.js';

/** More than a request and what comes with it. */
const REQUEST_WORDS = 2 ** 18 + 1024;

export class ForeignFilesystem {
  /** The path of its file. */
  readonly file: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'ioasid-foreign-'));
  readonly #connection = mountFuse(this.#folder, { allowOther: true });
  readonly #answering = new AbortController();
  readonly #loop: Promise<void>;
  #mounted = true;
  #connected = true;

  /** `flushes`: its server is asked at each close of the file. Needs root. */
  constructor(t: TestContext, { flushes = false } = {}) {
    this.file = join(this.#folder, 'file');
    const node = { path: 'file', flushes, open: () => new FakeFile(1) };
    const server = new FuseServer(this.#connection, [node]);
    const source = { fd: this.#connection, ready: (between: () => boolean) => server.serve(between) };
    this.#loop = runLoop([source], (hurried) => server.step(hurried), { signal: this.#answering.signal });
    t.after(async () => {
      await this.silence();
      this.disconnect();
    });
  }

  /** Whoever has it open keeps it; from now on nothing is answered. */
  async silence(): Promise<void> {
    if (this.#mounted) {
      this.#mounted = false;
      unmountFuse(this.#folder);
      rmdirSync(this.#folder);
      this.#answering.abort();
    }
    await this.#loop;
  }

  /** Returns when a READ has been taken, and nobody will answer it: it cannot be called back any more. */
  async readTaken(): Promise<void> {
    const request = new Uint32Array(REQUEST_WORDS);
    const bytes = new Uint8Array(request.buffer);
    const take = () => libc().read(this.#connection, addressOf(bytes), bytes.length);
    while (take() < 0 || request[1] !== Opcode.READ) await sleep(1);
  }

  /** The kernel answers all that wait with an error. */
  disconnect(): void {
    if (this.#connected) libc().close(this.#connection);
    this.#connected = false;
  }
}
