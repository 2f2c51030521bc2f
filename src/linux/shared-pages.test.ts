import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import { missingCompiler, testProgram } from '../testkit/c-program.js';
import { madeBytes } from '../testkit/made-bytes.js';
import { addressOf, libc, viewMemory } from './ffi.js';
import { SharedPages } from './shared-pages.js';

const skip = process.platform === 'linux' ? missingCompiler() : 'needs Linux';
const PAGE = 4096;

const read = (pages: SharedPages, target: Uint8Array) =>
  libc().pread(pages.fd, addressOf(target), pages.length, 0);

const ROUNDS = 60;

describe('SharedPages', { skip }, () => {
  test('what was stored up to the moment in which they are taken is what is taken', async (t) => {
    const pages = new SharedPages(PAGE);
    const told = new SharedPages(PAGE);
    t.after(() => pages.close());
    t.after(() => told.close());
    told.give(new Uint8Array(PAGE));
    const at = libc().mmap(0, PAGE, 3, 1, told.fd, 0);
    const words = new Int32Array(viewMemory(at, PAGE).buffer);
    const program = spawn(testProgram('storing'), {
      stdio: ['ignore', 'inherit', 'inherit', pages.fd, told.fd],
    });
    const ended = new Promise((resolve) => program.on('exit', (code, signal) => resolve(code ?? signal)));
    const content = new Int32Array(PAGE / 4);
    const bytes = new Uint8Array(content.buffer);
    const seen = new Uint8Array(PAGE);
    for (let round = 1; round <= ROUNDS; round++) {
      while (Atomics.load(words, 0) < round && program.exitCode === null)
        await new Promise((resolve) => setImmediate(resolve));
      assert.equal(content[0], Atomics.load(words, 1), `round ${round}`);
      content[0] = Atomics.load(words, 1);
      pages.give(bytes);
      Atomics.store(words, 2, round);
      // It stores by now, and goes on for some time.
      do read(pages, seen);
      while (new Int32Array(seen.buffer)[0] === content[0] && program.exitCode === null);
      for (let n = (round * 37) % 200; n > 0; n--) libc().poll(0, 0, 0);
      pages.take(bytes);
    }
    assert.ok(content[0]! > ROUNDS, 'the program has stored');
    Atomics.store(words, 3, 1);
    Atomics.store(words, 2, ROUNDS + 1);
    assert.equal(await ended, 0);
    libc().munmap(at, PAGE);
  });

  test('what is taken is what was given where nobody has changed it, in any size', (t) => {
    const length = 37 * PAGE;
    const pages = new SharedPages(length);
    t.after(() => pages.close());
    const content = madeBytes(length, (n) => (n * 31) >> 3);
    for (let round = 0; round < 3; round++) {
      content[round]!++;
      assert.equal(pages.give(content), true);
      libc().pwrite(pages.fd, addressOf(content.fill(9, 5000, 5003)) + 5000, 3, 5000);
      const now = new Uint8Array(length);
      assert.equal(read(pages, now), length);
      const taken = new Uint8Array(length);
      pages.take(taken);
      assert.deepEqual([now, taken], [content, content]);
      assert.equal(read(pages, now), 0);
    }
  });

  test('one that cuts, fills or tries to seal the file changes what it has stored itself', (t) => {
    const pages = new SharedPages(2 * PAGE);
    t.after(() => pages.close());
    const content = new Uint8Array(2 * PAGE).fill(5);
    pages.give(content);
    assert.equal(libc().fcntl(pages.fd, 1033, 2), -1);
    libc().ftruncate(pages.fd, PAGE);
    pages.take(content);
    assert.deepEqual(content, new Uint8Array(2 * PAGE).fill(5));
    libc().ftruncate(pages.fd, 2 ** 40);
    pages.give(content);
    pages.take(content);
    assert.equal(read(pages, content), 0);
  });

  test('a descriptor that is for reading lets nobody write', (t) => {
    const pages = new SharedPages(PAGE);
    t.after(() => pages.close());
    pages.give(new Uint8Array(PAGE).fill(7));
    const fd = pages.readOnly();
    const byte = new Uint8Array(128);
    assert.equal(libc().pread(fd, addressOf(byte), 1, 0), 1);
    assert.equal(byte[0], 7);
    assert.equal(libc().pwrite(fd, addressOf(byte), 1, 0), -1);
    assert.ok(libc().mmap(0, PAGE, 3, 1, fd, 0) >= 2 ** 63);
    libc().close(fd);
  });
});
