import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { testMachineCodes } from '../testkit/assembler.js';
import { PAGE } from '../testkit/child.js';
import { addressOf, libc, viewMemory } from './ffi.js';
import { guardedCopy, machineCodes, streamingCopy } from './guarded-copy.js';

const without =
  guardedCopy() === undefined ? `no guarded copy on ${process.platform} ${process.arch}` : false;
testMachineCodes(machineCodes);

/** A memfd of `pages` pages, mapped with one page more, and its memory. */
function shortFile(pages: number): { at: number; bytes: Uint8Array; close(): void } {
  const fd = libc().memfd_create('short', 0);
  libc().ftruncate(fd, pages * PAGE);
  const at = libc().mmap(0, (pages + 1) * PAGE, 3, 1, fd, 0);
  libc().close(fd);
  return { at, bytes: viewMemory(at, pages * PAGE), close: () => libc().munmap(at, (pages + 1) * PAGE) };
}

test('a copy ends exactly where there is no more memory, and changes nothing else', {
  skip: without,
}, (t) => {
  const file = shortFile(2);
  t.after(() => file.close());
  const local = new Uint8Array(4 * PAGE);
  const range = fc.record({
    from: fc.nat(2 * PAGE),
    length: fc.oneof(fc.nat(80), fc.nat(3 * PAGE)),
    at: fc.nat(64),
    out: fc.boolean(),
    aligned: fc.boolean(),
    streams: fc.boolean(),
  });
  fc.assert(
    fc.property(range, ({ from: start, length: wanted, at, out, aligned, streams }) => {
      const copy = streams ? streamingCopy()! : guardedCopy()!;
      const from = aligned ? start & -16 : start;
      const length = Math.min(wanted, 3 * PAGE - from);
      const there = Math.min(length, 2 * PAGE - from);
      for (let i = 0; i < file.bytes.length; i++) file.bytes[i] = i * 7;
      for (let i = 0; i < local.length; i++) local[i] = i * 11;
      const [target, source] = out ? [file.bytes, local] : [local, file.bytes];
      const [to, begin] = out ? [from, at] : [at, from];
      const expected = target.slice();
      const done = out
        ? copy(file.at + from, addressOf(local) + at, length)
        : copy(addressOf(local) + at, file.at + from, length);
      // A word that lies across the end is not copied in part, nor what is read together with it.
      const together = out ? 16 : 64;
      assert.ok(
        done <= there && done > there - together && (there < length || done === length),
        `${done} of ${there}`,
      );
      expected.set(source.subarray(begin, begin + done), to);
      assert.deepEqual(target, expected);
    }),
    { numRuns: 500 },
  );
});

/** Runs a program in a process of its own, which has no page of the mapping `nothing`. */
function guarded(program: string, ...flags: string[]) {
  const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  const script = `
    import { libc } from ${module('ffi.js')};
    import { guardedCopy } from ${module('guarded-copy.js')};
    import { Account } from ${module('account.js')};
    import { fileMemory } from ${module('file-memory.js')};
    const fd = libc().memfd_create('empty', 0);
    const nothing = libc().mmap(0, 4096, 3, 1, fd, 0);
    ${program}`;
  const { signal, stdout } = spawnSync(process.execPath, [...flags, '--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  return { signal, stdout };
}

test('a touch of missing memory anywhere else still ends the process', { skip: without }, () => {
  const { signal, stdout } = guarded(
    `console.log(guardedCopy()(nothing, nothing, 8));
     libc().memcpy(nothing, nothing + 64, 8);
     console.log('lives')`,
  );
  assert.deepEqual({ signal, stdout }, { signal: 'SIGBUS', stdout: '0\n' });
});

test('a SIGBUS that is sent still ends the process', { skip: without }, () => {
  const { signal, stdout } = guarded(
    `guardedCopy(); process.kill(process.pid, 'SIGBUS'); setTimeout(() => {}, 60_000)`,
  );
  assert.deepEqual({ signal, stdout }, { signal: 'SIGBUS', stdout: '' });
});

test('a handler that was there before gets the signals that are not of a copy', { skip: without }, () => {
  const { signal, stdout } = guarded(`
    process.on('SIGBUS', () => { console.log('heard'); process.exit(0); });
    console.log(guardedCopy()(nothing, nothing, 8));
    process.kill(process.pid, 'SIGBUS');
    setTimeout(() => {}, 60_000)`);
  assert.deepEqual({ signal, stdout }, { signal: null, stdout: '0\nheard\n' });
});

test('every thread has the guard', { skip: without }, () => {
  const module = JSON.stringify(new URL('guarded-copy.js', import.meta.url).href);
  const { signal, stdout } = guarded(`
    import { Worker } from 'node:worker_threads';
    guardedCopy();
    const copy = "console.log(m.guardedCopy()(" + nothing + ", " + nothing + ", 8))";
    const inner = "import(" + JSON.stringify(${module}) + ").then((m) => " + copy + ")";
    new Worker(inner, { eval: true }).on('exit', () => console.log(guardedCopy()(nothing, nothing, 8)));`);
  assert.deepEqual({ signal, stdout }, { signal: null, stdout: '0\n0\n' });
});

test('where no page may become executable, files are memory all the same', () => {
  const { signal, stdout } = guarded(
    `
    // PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: Linux 6.3.
    if (libc().prctl(65, 1, 0, 0, 0) === 0 && guardedCopy() !== undefined)
      throw new Error('a page became executable');
    const bytes = new Uint8Array(8192).fill(3);
    for (const seal of [0, 2]) {
      const fd = libc().memfd_create('ram', 2);
      libc().ftruncate(fd, 8192);
      libc().fcntl(fd, 1033, seal);
      const { memory } = fileMemory(Account.of('the test'), process.pid, fd, 0, 8192, 3);
      const moved = [memory.write(0, bytes, 0, 8192), memory.read(0, bytes.fill(0), 0, 8192)];
      console.log(...moved, bytes.every((byte) => byte === 3));
      libc().ftruncate(fd, 4096);
      console.log(memory.write(0, bytes, 0, 8192), memory.read(0, bytes, 0, 8192));
    }`,
    '--jitless',
  );
  const lines = ['8192 8192 true', '4096 4096', '8192 8192 true', '8192 8192'];
  assert.deepEqual({ signal, lines: stdout.trim().split('\n') }, { signal: null, lines });
});
