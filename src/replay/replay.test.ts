import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DsaQueue } from '../client/dsa.js';
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Opcode, Status } from '../devices/dsa/descriptor.js';
import { Refusal } from '../linux/errno.js';
import { Machine } from '../machine/machine.js';
import { RecordedRun, replayOf } from '../testkit/replayed.js';
import { Ask } from '../trace/input.js';
import type { Recorded, RecordedMachine } from '../trace/raw.js';
import { beginReplay } from './begin.js';
import { CannotReplay } from './cannot-replay.js';
import { describe } from './difference.js';

/** A process has a dsa copy its memory, and is refused something. */
async function recordedCopy(withoutContents = false): Promise<Recorded[]> {
  const machine = await Machine.create({ devices: ['dsa,ready=1'] });
  const run = new RecordedRun(machine, withoutContents);
  const process = new InProcess(machine);
  const ioasid = Ioasid.open(process);
  const device = VfioDeviceFile.open(process, 'vfio0');
  const pasid = ioasid.alloc();
  const block = process.allocate(3 * 4096);
  const iova = ioasid.map(pasid, block.address, block.bytes.length, { access: 'rw' });
  device.authorize(ioasid, pasid);
  device.enable();
  const queue = new DsaQueue(device);
  block.bytes.fill(7, 4096, 8192);
  queue.submit({
    ...{ opcode: Opcode.MEMMOVE, pasid, completion: iova, source: iova + 4096, destination: iova + 8192 },
    size: 4096,
  });
  assert.equal(block.bytes[0], Status.SUCCESS);
  assert.throws(() => ioasid.unmap(pasid, 1, 4096), Refusal);
  process.exit();
  return run.records();
}

/** What is said where `records` differ: a line of each side, or why there is no replay. */
async function outcome(records: readonly Recorded[]): Promise<readonly string[]> {
  try {
    const difference = await replayOf(records);
    if (difference === undefined) return ['the same'];
    return [difference.recorded, difference.replayed].map((each) => (each ? describe(each) : 'nothing'));
  } catch (error) {
    assert.ok(error instanceof CannotReplay, String(error));
    return [error.message];
  }
}

/** `records`, each of them as `change` has it. */
function changed(records: readonly Recorded[], change: (record: Recorded) => unknown): Recorded[] {
  return records.map((record) => (change(record) as Recorded | undefined) ?? record);
}

const asked = (what: number) => (record: Recorded) =>
  record.kind === 'input' && record.entry.kind === 'asked' && record.entry.what === what
    ? record.entry
    : undefined;

test('what was recorded is the same when it is done again', async () => {
  const records = await recordedCopy();
  assert.deepEqual(await outcome(records), ['the same']);
  assert.ok(records.some((record) => asked(Ask.READ)(record)?.bytes?.length === 4096));
});

test('a call that ends otherwise is the first difference, so is a byte that a device writes', async () => {
  const records = await recordedCopy();
  const refusal = await outcome(
    changed(records, (record) => {
      if (record.kind !== 'call' || record.entry.error === undefined) return undefined;
      return { ...record, entry: { ...record.entry, reason: 'iova 0x1 is odd' } };
    }),
  );
  assert.match(refusal[0]!, /IOASID_UNMAP.*ENOENT.*: iova 0x1 is odd$/);
  assert.match(refusal[1]!, /IOASID_UNMAP.*ENOENT.*: (?!iova 0x1 is odd)/);
  const byte = await outcome(
    changed(records, (record) => {
      const { bytes } = asked(Ask.WRITE)(record) ?? {};
      return bytes && { ...record, entry: { ...asked(Ask.WRITE)(record), bytes: bytes.with(0, 99) } };
    }),
  );
  assert.match(byte[0]!, /^-- asks for write\(.* 0x63/);
  assert.match(byte[1]!, /^-- asks for write\(.* 0x07/);
});

test('memory that held something else is what a device finds, and writes', async () => {
  const records = await recordedCopy();
  const [was, is] = await outcome(
    changed(records, (record) => {
      const { bytes } = asked(Ask.READ)(record) ?? {};
      return bytes && { ...record, entry: { ...asked(Ask.READ)(record), bytes: bytes.with(5, 1) } };
    }),
  );
  assert.match(was!, /write.* 0x070707070707/);
  assert.match(is!, /write.* 0x070707070701/);
});

test('something that was not recorded is a difference', async () => {
  const records = await recordedCopy();
  const without = records.filter(({ kind }) => kind !== 'dma');
  const [was, is] = await outcome(without);
  assert.notEqual(was, is);
  assert.match(is!, /^-- DMA .* PASID 1 /);
});

test('something that comes no more is a difference', async () => {
  const records = await recordedCopy();
  const note = { kind: 'note', device: 'vfio0', entry: { sentence: 'odd' }, time: 0 } as const;
  const more = records.flatMap((record): Recorded[] =>
    record.kind === 'call' && record.entry.call === 'release' ? [note, record] : [record],
  );
  const [was, is] = await outcome(more);
  assert.equal(was, '-- vfio0: odd');
  assert.notEqual(is, was);
});

test('without contents a replay ends where a result depends on one, and not before', async () => {
  const records = await recordedCopy(true);
  assert.ok(records.every((record) => !asked(Ask.READ)(record)?.bytes?.length));
  assert.deepEqual(await outcome(records), ['the same']);
  const compared = changed(records, (record) => {
    const entry = asked(Ask.WRITE)(record);
    return entry && { ...record, entry: { ...entry, of: [entry.of[0]!, entry.of[1]! + 8, entry.of[2]!] } };
  });
  assert.match((await outcome(compared))[0]!, /read is left out of the recording, and its results depend/);
});

test('what a recording lacks ends its replay with a sentence', async () => {
  const [first, ...rest] = await recordedCopy();
  const lost: Recorded = { kind: 'lost', count: 3, time: 0 };
  assert.deepEqual(await outcome([first!, lost, ...rest]), [
    '3 events are not in the recording: they came too fast',
  ]);
  const like = (made: RecordedMachine['made']) =>
    beginReplay({ kind: 'machine', machine: { devices: [], ...(made && { made }) }, time: 0 });
  await assert.rejects(like(undefined), /made by functions, not by arguments/);
  await assert.rejects(like({ devices: ['nvme,file=disk.img'] }), /no disk for ".*\/disk.img"/);
  await assert.rejects(like({ devices: ['./nowhere.js'] }), /nowhere\.js/);
  await assert.rejects(like({ devices: 4 }), /which devices/);
});
