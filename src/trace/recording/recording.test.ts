import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InProcess } from '../../client/in-process.js';
import { Refusal } from '../../linux/errno.js';
import { Machine } from '../../machine/machine.js';
import { madeBytes } from '../../testkit/made-bytes.js';
import { AllocStruct, ioctlNumber, MAP_READ, MapStruct } from '../../uapi/ioasid.js';
import { sized } from '../../uapi/struct.js';
import { escaped } from '../lines.js';
import { eventsOf, type Raw, type RawInput, type Recorded } from '../raw.js';
import { TraceReader } from '../reader.js';
import { chunk, header, type Source } from './chunks.js';
import { Encoder } from './encoder.js';
import { recorded } from './recording.js';

const machine = { devices: [{ name: 'vfio0', rid: '0000:6a:01.0', spec: 'dsa,ready=1' }] };

/** What a process has done on a machine: opened, mapped, been refused, closed; and a DMA fault and a note. */
async function happened(): Promise<(Raw | RawInput)[]> {
  const made = await Machine.create({ devices: ['dsa,ready=1'] });
  const reader = new TraceReader(made.logs);
  const process = new InProcess(made);
  const [fd, device] = [process.open('ioasid'), process.open('vfio/devices/vfio0')];
  const { address } = process.allocate(8192);
  process.ioctl(fd, ioctlNumber('IOASID_ALLOC'), sized(AllocStruct, {}));
  const map = { flags: MAP_READ, pasid: 1, user_va: address, length: 4096 };
  process.ioctl(fd, ioctlNumber('IOASID_MAP'), sized(MapStruct, map));
  assert.throws(() => process.ioctl(fd, ioctlNumber('IOASID_ALLOC'), sized(AllocStruct, { kind: 9 })));
  process.pread(device, 0x90, new Uint8Array(256));
  process.pread(device, 0x90, new Uint8Array(256));
  made.iommu.faults.record({ rid: '0000:6a:01.0', pasid: 1, iova: 2 ** 53, write: true, reason: 'no' });
  made.devices[0]!.driver.life.work.calls.note('a\u001b[2J register');
  process.exit();
  return reader.raw();
}

/** A recording of `all`, of so many records a chunk. */
function recordingOf(all: readonly Recorded[], each = 4): Uint8Array {
  const encoder = new Encoder();
  const parts: Uint8Array[] = [header()];
  for (let n = 0; n < all.length; n += each) {
    for (const one of all.slice(n, n + each)) encoder.add(one);
    parts.push(chunk(encoder.take()));
  }
  return Buffer.concat(parts);
}

function source(bytes: Uint8Array): Source {
  return (at, length) => bytes.subarray(at, at + length);
}

/** What of a recording is good, and why it ends there. */
function readUp(bytes: Uint8Array): { all: Recorded[]; why: string } {
  const all: Recorded[] = [];
  try {
    for (const some of recorded(source(bytes))) all.push(...some);
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return { all, why: error.reason };
  }
  return { all, why: '' };
}

const recording = [{ kind: 'machine', machine, time: 0 } as const, ...(await happened())];
const bytes = recordingOf(recording);
const said = (all: readonly Recorded[]) => JSON.stringify(eventsOf(all));

test('a recording has the events of what was recorded, and nothing in it moves a cursor', () => {
  const { all, why } = readUp(bytes);
  assert.equal(why, '');
  const cleaned = JSON.parse(said(recording), (_key, value: unknown) =>
    typeof value === 'string' ? escaped(value) : value,
  );
  assert.deepEqual(JSON.parse(said(all)), cleaned);
  assert.deepEqual(all[0], recording[0]);
});

test('a recording that is cut off anywhere is good up to the chunk that is cut', () => {
  const { all } = readUp(bytes);
  for (let length = 0; length < bytes.length; length++) {
    const { all: some, why } = readUp(bytes.subarray(0, length));
    assert.equal(said(some), said(all.slice(0, some.length)));
    assert.ok(some.length < all.length);
    assert.ok(why !== '' || some.length % 4 === 0, `cut at ${length}`);
  }
});

test('a byte that is wrong anywhere is found, and nothing behind it is told', () => {
  const { all } = readUp(bytes);
  for (let at = 0; at < bytes.length; at++) {
    const wrong = Uint8Array.from(bytes);
    wrong[at]! ^= 1 + (at % 255);
    const { all: some, why } = readUp(wrong);
    assert.notEqual(why, '', `byte ${at}`);
    assert.equal(said(some), said(all.slice(0, some.length)));
  }
});

test('records that anybody has made up are read or refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (made) => {
      readUp(Buffer.concat([header(), chunk(made)]));
    }),
    { numRuns: 2000 },
  );
});

test('a recording of another version says which', () => {
  const other = Uint8Array.from(bytes);
  other[8] = 9;
  assert.match(readUp(other).why, /recording of version 9, and this ioasid reads 5/);
  assert.match(readUp(new Uint8Array(100)).why, /no recording of ioasid/);
});

test('a call that is said again is kept as that, until it is another', () => {
  const call = recording.find((each) => each.kind === 'call' && each.entry.ioctl !== undefined)!;
  assert.ok(call.kind === 'call');
  const { ioctl } = call.entry;
  const timed = (n: number) => ({ ...call, time: call.time + n, entry: { ...call.entry, duration: n } });
  const input = ioctl!.input.with(0, ioctl!.input[0]! ^ 1);
  const other: Raw = { ...call, entry: { ...call.entry, ioctl: { ...ioctl!, input } } };
  const note: Raw = { kind: 'note', device: 'vfio0', entry: { sentence: 'between' }, time: call.time };
  const [once, often] = [new Encoder(), new Encoder()];
  once.add(timed(1));
  for (let n = 1; n <= 100; n++) often.add(timed(n));
  assert.ok(often.length - once.length <= 99 * 5, `${once.length} and ${often.length} bytes`);
  const all = [timed(1), timed(2), note, timed(3), other, timed(4), timed(5)];
  assert.equal(said(readUp(recordingOf(all, 2)).all), said(all));
});

test('contents above 64 bytes are kept once', () => {
  const call = recording.find((each) => each.kind === 'call' && each.entry.transfer !== undefined)!;
  assert.ok(call.kind === 'call');
  const content = madeBytes(4096, (n) => (n * n * 7919) >>> 3);
  const transfer = { ...call.entry.transfer!, bytes: content };
  const large: Raw = { ...call, entry: { ...call.entry, transfer } };
  const [encoder, twice] = [new Encoder(), new Encoder()];
  encoder.add(large);
  twice.add(large);
  twice.add(large);
  assert.ok(twice.length - encoder.length < 100, `${encoder.length} and ${twice.length} bytes`);
  const { all } = readUp(recordingOf([large, large]));
  for (const each of all) {
    assert.ok(each.kind === 'call');
    assert.ok(Buffer.from(content).equals(each.entry.transfer!.bytes));
  }
});
