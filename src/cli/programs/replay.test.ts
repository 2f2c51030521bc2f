/** Programs on devices that have something of the outside, recorded and done again. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { compile, missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, runner } from '../../testkit/processes.js';
import { Ask, type Asked } from '../../trace/input.js';
import type { Recorded } from '../../trace/raw.js';
import { chunk, header } from '../../trace/recording/chunks.js';
import { Encoder } from '../../trace/recording/encoder.js';
import { recordedIn } from '../../trace/recording/recording.js';

const folder = mkdtempSync(join(tmpdir(), 'ioasid-replay-'));
after(() => rmSync(folder, { recursive: true }));
const recording = join(folder, 'run.ioasid');
const disk = join(folder, 'disk.img');
const blocks = join(folder, 'blocks');

function record(options: readonly string[], command: readonly string[]): void {
  const { status, stderr } = ioasid(['run', '--record', recording, ...options, '--', ...command]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
}

/** What replay says, where there are no files of the run any more. */
function replay(): { readonly status: number | null; readonly said: string } {
  rmSync(disk, { force: true });
  const { status, stdout, stderr } = ioasid(['replay', recording]);
  return { status, said: stdout + stderr };
}

/** The recording, with each record as `change` has it; undefined: as it is. */
function change(change: (record: Recorded, asked: Asked | undefined) => unknown): void {
  const encoder = new Encoder();
  for (const each of [...recordedIn(recording)].flat()) {
    const asked = each.kind === 'input' && each.entry.kind === 'asked' ? each.entry : undefined;
    encoder.add((change(each, asked) as Recorded | undefined) ?? each);
  }
  writeFileSync(recording, Buffer.concat([header(), chunk(encoder.take())]));
}

const nvme = () =>
  compile('nvme.c', readFileSync(new URL('../../../examples/nvme.c', import.meta.url), 'utf8'));

/** The driver of examples/nvme.c reads 100 blocks from block 3 on. */
function recordNvme(...options: string[]): void {
  const content = randomBytes(512 * 8192);
  writeFileSync(disk, content);
  const command = `"${nvme()}" 3 100 >"${blocks}"`;
  record(['-d', `nvme,file=${disk}`, ...options], ['sh', '-c', command]);
  assert.ok(readFileSync(blocks).equals(content.subarray(3 * 512, 103 * 512)));
}

/** tests/c/vdpa drives a virtio-blk, whose owners before were killed in the middle of requests. */
function recordBlk(...options: string[]): void {
  writeFileSync(disk, '');
  truncateSync(disk, 128 << 20);
  const program = [testProgram('vdpa'), '/dev/vhost-vdpa-0', 'blk'];
  const script =
    'for wait in 0.3 0.5; do "$@" & sleep $wait; kill -9 $!; wait $!; done 2>/dev/null; exec "$@"';
  record(['-d', `virtio-blk,file=${disk}`, ...options], ['sh', '-c', script, 'sh', ...program]);
}

describe('replay', { skip: runner.skip || missingCompiler() }, () => {
  it('has the disk of an nvme answer as it did, and its file is needed no more', () => {
    recordNvme();
    assert.match(replay().said, /^the same: \d+ calls, \d+ records\n$/);
  });

  it('has the disk of a virtio-blk answer as it did, also jobs that nobody waited for any more', () => {
    recordBlk();
    assert.match(replay().said, /^the same: [\d,]+ calls, [\d,]+ records\n$/);
  });

  it('finds what is written to a disk otherwise, and what comes of a block that held something else', () => {
    recordBlk();
    change((record, asked) => {
      if (asked?.what !== Ask.DISK_START || asked.of[1] !== 1) return undefined;
      return { ...record, entry: { ...asked, bytes: asked.bytes!.with(0, asked.bytes![0]! ^ 1) } };
    });
    const written = replay();
    assert.equal(written.status, 1);
    assert.match(
      written.said,
      /^- -- asks for disk start\(0x0, 0x1, .*\n\+ -- asks for disk start\(0x0, 0x1, /m,
    );
    recordNvme();
    change((record, asked) => {
      if (asked?.what !== Ask.DISK_START && asked?.what !== Ask.DISK_END) return undefined;
      return (
        asked.bytes && { ...record, entry: { ...asked, bytes: asked.bytes.with(0, asked.bytes[0]! ^ 1) } }
      );
    });
    const read = replay();
    assert.equal(read.status, 1);
    assert.match(read.said, /^- -- asks for write\(/m);
  });

  it('ends with a sentence where a disk, or a job of it, is not in the recording', () => {
    recordNvme();
    change((record) => {
      if (record.kind !== 'machine') return undefined;
      const { outside: _, ...machine } = record.machine;
      return { ...record, machine };
    });
    const without = replay();
    assert.equal(without.status, 125);
    assert.match(without.said, /^ioasid: .*the recording has no disk for ".*disk\.img"\n$/);
    recordBlk();
    change((record, asked) => {
      return (
        (asked?.what === Ask.DISK_END && { ...record, entry: { ...asked, of: [0, 99_999] } }) || undefined
      );
    });
    const odd = replay();
    assert.equal(odd.status, 125);
    assert.match(odd.said, /^ioasid: job 99999 of ".*disk\.img" ends in the recording, and was not begun\n$/);
  });

  it('without contents says so where something depends on what a disk held', () => {
    recordNvme('--record-data', 'none');
    assert.ok(statSync(recording).size < 100 * 512);
    const asked = [...recordedIn(recording)].flat().filter((each) => each.kind === 'input');
    const held = asked.map(({ entry }) => (entry.kind === 'asked' ? entry : undefined));
    const disks = held.filter((each) => each?.what === Ask.DISK_START || each?.what === Ask.DISK_END);
    assert.ok(disks.length > 0 && disks.every((each) => !each?.bytes?.length));
    const { status, said } = replay();
    assert.equal(status, 125);
    assert.match(
      said,
      /^ioasid: what a device has read is left out of the recording, and its results depend on it\n$/,
    );
  });
});
