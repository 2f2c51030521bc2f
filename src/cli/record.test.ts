import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ioasid, runner } from '../testkit/processes.js';
import { refused } from '../testkit/refused.js';
import { openRecord, RecordFile } from './record-file.js';

const folder = () => mkdtempSync(join(tmpdir(), 'ioasid-'));
const cat = ['--device', 'edu', '--', 'sh', '-c', 'cat /dev/ioasid 2>/dev/null; cat /dev/ioasid 2>/dev/null'];

describe('run --record', { skip: runner.skip }, () => {
  it('keeps what a trace would have shown, for its owner alone, and trace prints it', () => {
    const [file, live] = [join(folder(), 'run.ioasid'), join(folder(), 'trace')];
    const { status } = ioasid(['run', '--record', file, '--trace', '-o', live, ...cat]);
    assert.equal(status, 1);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const { stdout, stderr, status: read } = ioasid(['trace', file]);
    assert.deepEqual([stderr, read], ['', 0]);
    assert.equal(stdout, readFileSync(live, 'utf8'));
    assert.match(stdout, /^\S+ cat\[\d+\] read\(3<\/dev\/ioasid>, "", \d+\) = -1 EAGAIN .*no page faults/m);
    const { stdout: errors } = ioasid(['trace', '-e', 'error', '--json', file]);
    assert.deepEqual(
      errors
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).error),
      ['EAGAIN', 'EAGAIN'],
    );
  });

  it('one that was cut off is printed as far as it goes, and a sentence says so', () => {
    const file = join(folder(), 'run.ioasid');
    ioasid(['run', '--record', file, ...cat]);
    truncateSync(file, statSync(file).size - 1);
    const { stderr, status } = ioasid(['trace', file]);
    assert.match(stderr, /^ioasid: ".*": the recording is cut off in the chunk at byte \d+\n$/);
    assert.equal(status, 125);
  });

  it('becomes a timeline, in a file for its owner alone, of the events that -e names', () => {
    const [file, out] = [join(folder(), 'run.ioasid'), join(folder(), 'timeline')];
    ioasid(['run', '--record', file, ...cat]);
    const { stdout, stderr, status } = ioasid(['trace', file, '--perfetto', out, '-e', 'error']);
    assert.deepEqual([stdout, stderr, status], ['', '', 0]);
    assert.equal(statSync(out).mode & 0o777, 0o600);
    const { traceEvents } = JSON.parse(readFileSync(out, 'utf8'));
    const slices = traceEvents.filter(({ ph }: { ph: string }) => ph === 'X');
    assert.equal(slices.length, 2);
    for (const { name, args } of slices) assert.deepEqual([name, args.error], ['read', 'EAGAIN']);
    const { stderr: wrong } = ioasid(['trace', file, '--perfetto', out, '--json']);
    assert.match(wrong, /--perfetto <file>' cannot be used with option '--json'/);
  });
});

it('a disk that is full ends the recording with one sentence, and nothing else', () => {
  const said: string[] = [];
  const recording = new RecordFile({ fd: openSync('/dev/full', 'w'), file: 'run' }, (text) =>
    said.push(text),
  );
  for (let n = 0; n < 10; n++) recording.add(new Uint8Array(1 << 16));
  recording.close();
  assert.deepEqual(said, ['the recording "run" ends here: no space left on device']);
});

it('a recording is kept in a file alone', () => {
  const [dir, pipe] = [folder(), join(folder(), 'pipe')];
  execFileSync('mkfifo', [pipe]);
  refused(() => openRecord(pipe), 'EACCES', /cannot be written: nobody reads it/);
  refused(() => openRecord('/dev/null'), 'EINVAL', /is no file/);
  symlinkSync(join(dir, 'elsewhere'), join(dir, 'link'));
  refused(() => openRecord(join(dir, 'link')), 'EACCES', /symbolic link/);
  assert.ok(!existsSync(join(dir, 'elsewhere')));
});
