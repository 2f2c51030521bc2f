import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { openLines } from './line-output.js';
import { PatientOutput } from './patient-output.js';

/** A pipe: its end that is read, and its name. */
function pipe(): { readonly reader: number; readonly path: string } {
  const path = join(mkdtempSync(join(tmpdir(), 'ioasid-')), 'pipe');
  execFileSync('mkfifo', [path]);
  return { reader: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), path };
}

/** What comes until nothing does any more. */
async function readAll(reader: number): Promise<string> {
  const [parts, part] = [[] as Buffer[], Buffer.alloc(1 << 16)];
  for (;;) {
    try {
      const count = readSync(reader, part);
      if (count === 0) return Buffer.concat(parts).toString();
      parts.push(Buffer.from(part.subarray(0, count)));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      await setTimeout(1);
    }
  }
}

const numbered = Array.from({ length: 100_000 }, (_, n) => `line ${n}`);

// The end that `--output` opens does not wait; one that is somebody's stderr does.
for (const waits of [false, true]) {
  test(`who takes no lines is not waited for, and gets all in their order (waits: ${waits})`, async () => {
    const { reader, path } = pipe();
    const target = waits
      ? { fd: openSync(path, constants.O_WRONLY), file: path, colours: false }
      : openLines(path, () => false);
    const output = new PatientOutput(target);
    for (const [n, line] of numbered.entries()) {
      output.write(line);
      if (n % 1000 === 0) output.flush();
    }
    const closed = output.close();
    await setTimeout(50);
    assert.ok(output.busy);
    const [read] = await Promise.all([readAll(reader), closed]);
    assert.equal(read, `${numbered.join('\n')}\n`);
    closeSync(reader);
  });
}

test('what is kept is bounded: it says when it is full, and when it is so no more', async () => {
  const { reader, path } = pipe();
  const output = new PatientOutput(
    openLines(path, () => false),
    1 << 20,
  );
  const line = 'x'.repeat(999);
  for (let n = 0; n < 1000; n++) {
    output.write(line);
    output.flush();
  }
  assert.ok(!output.full);
  for (let n = 0; n < 100; n++) {
    output.write(line);
    output.flush();
  }
  assert.ok(output.full);
  const [read] = await Promise.all([readAll(reader), output.close()]);
  assert.equal(read.length, 1_100_000);
  assert.ok(!output.full);
  closeSync(reader);
});

test('a reader that has gone ends it, and nobody waits', async () => {
  const { reader, path } = pipe();
  const output = new PatientOutput({
    fd: openSync(path, constants.O_WRONLY),
    file: undefined,
    colours: false,
  });
  for (const line of numbered) output.write(line);
  output.flush();
  closeSync(reader);
  await output.close();
  output.write('nobody');
  output.flush();
  assert.ok(!output.busy);
});
