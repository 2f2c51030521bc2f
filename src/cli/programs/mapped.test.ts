/**
 * Programs that map a BAR: every load and store reaches the device, with its width, once, and the program
 * notices nothing else (hostile/mapped.test.ts has stranger programs). What is checked is in tests/c/mapped,
 * one task each; the device is testkit/register-file.ts.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, runner, until } from '../../testkit/processes.js';

const tasks = {
  moves: 'moves of every width, with zero- and sign-extension, have the results that they have on memory',
  changes: 'instructions that read, change and write have them too, with the flags',
  strings: 'string instructions have them, in both directions, with the device on either side',
  vectors: 'vector instructions have them, masked and non-temporal ones too',
  widths: 'the device sees each access once, with its width; vectors in aligned words of 8',
  wide: 'MOVDIR64B and ENQCMD reach the device as 64 bytes, whatever the processor',
  threads: 'threads access the device at the same time',
  forks: 'children share the mapping, and what they become is not traced',
  moved: 'mappings are moved and cut, and outlive their descriptor',
  written: 'a write through the file makes the accesses after it ask for pages for a while only',
  refused: 'what is no BAR, or goes past its end, is not mapped',
  decode_off: 'an access while memory decoding is off is SIGBUS',
} as const;

const skip = runner.skip || missingCompiler() || (process.arch === 'x64' ? false : `not on ${process.arch}`);

describe(`mapped BARs as ${runner.name}`, { skip }, () => {
  const device = fileURLToPath(new URL('../../testkit/register-file.js', import.meta.url));
  for (const [task, rule] of Object.entries(tasks)) {
    it(rule, () => {
      const command = ['run', '--device', device, '--', testProgram('mapped'), task];
      const { status, stdout, stderr } = ioasid(command, runner);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `${task} ok\n`, stderr: '' });
    });
  }

  it('a process that outlives `run` maps files as before', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const pathOf = (name: string) => join(folder, name);
    execFileSync('mkfifo', ['-m', '666', pathOf('pipe')]);
    for (const name of ['file', 'result']) {
      writeFileSync(pathOf(name), name === 'file' ? Buffer.alloc(4096) : '');
      chmodSync(pathOf(name), 0o666);
    }
    chmodSync(folder, 0o777);
    const writer = open(pathOf('pipe'), 'r+');
    const files = ['pipe', 'file', 'result'].map(pathOf);
    assert.equal(
      ioasid(['run', '--device', 'edu', '--', testProgram('outlives'), ...files], runner).status,
      0,
    );
    await (await writer).close();
    await until(() => readFileSync(pathOf('result'), 'latin1') !== '', 'its result');
    assert.equal(readFileSync(pathOf('result'), 'latin1'), 'mapped\n');
  });
});
