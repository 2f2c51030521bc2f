import assert from 'node:assert/strict';
import { mkdtempSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ioasid, runner } from '../testkit/processes.js';
import type { Recorded } from '../trace/raw.js';
import { chunk, header } from '../trace/recording/chunks.js';
import { Encoder } from '../trace/recording/encoder.js';
import { recordedIn } from '../trace/recording/recording.js';

const newFile = () => join(mkdtempSync(join(tmpdir(), 'ioasid-')), 'run.ioasid');
const cat = ['--device', 'edu', '--', 'sh', '-c', 'cat /dev/ioasid 2>/dev/null; cat /dev/ioasid 2>/dev/null'];

function recordingOf(file: string, records: readonly Recorded[]): void {
  const encoder = new Encoder();
  for (const record of records) encoder.add(record);
  writeFileSync(file, Buffer.concat([header(), chunk(encoder.take())]));
}

describe('replay', { skip: runner.skip }, () => {
  it('does a recorded run again, and ends with 1 at the first difference, shown with lines around it', () => {
    const file = newFile();
    ioasid(['run', '--record', file, ...cat]);
    const same = ioasid(['replay', file]);
    assert.match(same.stdout, /^the same: \d+ calls, \d+ records\n$/);
    assert.deepEqual([same.stderr, same.status], ['', 0]);

    const records = [...recordedIn(file)].flat();
    const at = records.findLastIndex((each) => each.kind === 'call' && each.entry.call === 'read');
    const read = records[at]!;
    assert.ok(read.kind === 'call');
    recordingOf(file, records.with(at, { ...read, entry: { ...read.entry, error: 'EIO' } }));
    const { stdout, status } = ioasid(['replay', file]);
    const lines = stdout.split('\n').map((line) => line.replace(/<[\d.]+>/, '').slice(0, 60));
    assert.match(lines[0]!, /^the first difference, at record \d+:$/);
    assert.ok(
      lines.some((line) => /^- cat\[\d+\] read\(3<.* = -1 EIO/.test(line)),
      stdout,
    );
    assert.ok(
      lines.some((line) => /^\+ cat\[\d+\] read\(3<.* = -1 EAGAIN/.test(line)),
      stdout,
    );
    assert.ok(
      lines.some((line) => /^ {2}cat\[\d+\] read\(3<.* = -1 EAGAIN/.test(line)),
      stdout,
    );
    assert.equal(status, 1);
  });

  it('one that is cut off, or is none, ends with 125 and a sentence', () => {
    const file = newFile();
    ioasid(['run', '--record', file, ...cat]);
    truncateSync(file, statSync(file).size - 1);
    for (const [name, why] of [
      [file, /the recording is cut off in the chunk at byte \d+/],
      ['/dev/null', /is no file/],
      ['package.json', /it is no recording of ioasid/],
    ] as const) {
      const { stdout, stderr, status } = ioasid(['replay', name]);
      assert.deepEqual([stdout, status], ['', 125]);
      assert.match(stderr, why);
    }
  });

  it('--record-data=none leaves out what memory held, and a replay that needs none of it is whole', () => {
    const file = newFile();
    ioasid(['run', '--record', file, '--record-data', 'none', ...cat]);
    const [machine] = [...recordedIn(file)].flat();
    assert.ok(machine?.kind === 'machine' && machine.machine.withoutContents);
    assert.match(ioasid(['replay', file]).stdout, /^the same/);
  });
});
