import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CallEvent, TraceEvent } from './event.js';
import { type ChromeEvent, Timeline } from './timeline.js';

const PID_MAX = 2 ** 22;
const devicesOf = (rid: string) =>
  ({ '0000:6a:01.0': ['vfio0'], '0000:6a:02.0': ['vfio1', 'vfio2'] })[rid] ?? [];

/** Fails unless `events` keep the rules of the format: all but what their args are. */
function checkRules(events: readonly ChromeEvent[]): void {
  const [named, lanes] = [new Set<string>(), new Map<string, { ts: number; end: number }>()];
  for (const { ph, name, pid, tid, ts, dur, s, args } of events) {
    const track = `${pid}/${tid}`;
    assert.ok(Number.isInteger(pid) && Number.isInteger(tid) && typeof name === 'string');
    if (ph === 'M') {
      assert.ok(['process_name', 'process_sort_index', 'thread_name'].includes(name), name);
      assert.deepEqual(Object.keys(args!), [name === 'process_sort_index' ? 'sort_index' : 'name']);
      named.add(name === 'thread_name' ? track : `${pid}`);
      continue;
    }
    assert.ok(Number.isInteger(ts) && ts! >= 0, `${ts}`);
    if (s === 'g') continue;
    assert.ok(named.has(track), `track ${track} has no name before ${name}`);
    assert.ok(pid < PID_MAX || named.has(`${pid}`), `group ${pid} has no name`);
    const lane = lanes.get(track) ?? { ts: 0, end: 0 };
    assert.ok(ts! >= lane.ts, 'the times of a track fall');
    if (ph === 'X') assert.ok(ts! >= lane.end && Number.isInteger(dur) && dur! >= 0, 'slices overlap');
    else assert.deepEqual([ph, s], ['i', 't']);
    lanes.set(track, { ts: ts!, end: ph === 'X' ? ts! + dur! : lane.end });
  }
}

/** The timeline of `events`, checked. */
function timelineOf(events: readonly TraceEvent[]): ChromeEvent[] {
  const timeline = new Timeline();
  const all = events.flatMap((event) => timeline.add(event, devicesOf));
  checkRules(all);
  return all;
}

/** `process: track: name` of what is on tracks, in its order. */
function placed(all: readonly ChromeEvent[]): string[] {
  const names = new Map<string, string>();
  const found: string[] = [];
  for (const { ph, name, pid, tid, args } of all) {
    if (ph === 'M' && name === 'process_name') names.set(`${pid}`, `${args!.name}`);
    else if (ph === 'M') names.set(`${pid}/${tid}`, `${args!.name}`);
    else found.push(`${names.get(`${pid}`)}: ${names.get(`${pid}/${tid}`)}: ${name}`);
  }
  return found;
}

const call = (rest: Partial<CallEvent> & { time: number }): TraceEvent => ({
  ...{ kind: 'call', call: 'ioctl', path: 'ioasid', result: 0, duration: 10, pid: 7, tid: 7, program: 'a' },
  ...rest,
});

const micro = fc.integer({ min: 1, max: 3000 }).map((n) => 1000 + n / 1000);
const someEvent: fc.Arbitrary<TraceEvent> = fc.oneof(
  fc.record({ time: micro, pid: fc.nat(3), tid: fc.nat(3), duration: fc.nat(900) }).map(call),
  fc
    .record({ time: micro, pid: fc.nat(3), duration: fc.nat(900), program: fc.string() })
    .map((rest) => call({ ...rest, call: 'write', place: 'BAR2+0x0 portal of WQ 1', path: 'vfio/vfio0' })),
  fc.record({ time: micro }).map(({ time }) => call({ time, pid: undefined!, tid: undefined! })),
  fc
    .record({ time: micro, rid: fc.constantFrom('0000:6a:01.0', '0000:6a:02.0', 'x') })
    .map((rest): TraceEvent => ({ kind: 'dma', pasid: 1, write: true, iova: '0x1000', length: 4, ...rest })),
  fc.record({ time: micro }).map(({ time }): TraceEvent => ({ kind: 'lost', count: 3, time })),
);

test('whatever happens, tracks are named, their times do not fall and their slices do not overlap', () => {
  fc.assert(
    fc.property(fc.array(someEvent, { maxLength: 60 }), (events) => {
      timelineOf(events.toSorted((a, b) => a.time - b.time));
    }),
  );
});

test('a process, its threads, a device and its queues have tracks of their own', () => {
  const place = 'BAR2+0x0 portal of WQ 0';
  const all = timelineOf([
    call({ time: 1, call: 'open' }),
    call({ time: 2, name: 'IOASID_ALLOC', tid: 9, program: 'b' }),
    call({ time: 3, call: 'write', path: 'vfio/devices/vfio0', place }),
    call({ time: 4, call: 'write', path: 'dsa/wq0.1' }),
    { kind: 'dma', rid: '0000:6a:01.0', pasid: 1, write: true, iova: '0x1000', length: 24, time: 4 },
    { kind: 'fault', rid: '0000:6a:02.0', pasid: 1, write: false, iova: '0x0', reason: 'no', time: 5 },
    { kind: 'interrupt', device: 'vfio0', name: 'MSI-X', vector: 3, time: 6 },
    { kind: 'interrupt', device: 'vhost-vdpa-0', name: 'queue', vector: 1, lost: 'nobody', time: 7 },
    { kind: 'note', device: 'vfio0', sentence: 'odd', time: 8 },
    { kind: 'authorized', device: 'vfio0', pasid: 5, time: 9 },
    call({ time: 10, call: 'release', pid: undefined!, tid: undefined! }),
  ]);
  assert.deepEqual(placed(all), [
    'a: a: open',
    'a: b: IOASID_ALLOC',
    'a: a: write',
    'vfio0: WQ 0: a: write',
    'a: a: write',
    'dsa0: wq0.1: a: write',
    'vfio0: DMA: write PASID 1 0x1000 +24',
    '0000:6a:02.0 (vfio1, vfio2): faults: read PASID 1 0x0',
    'vfio0: interrupts: MSI-X 3',
    'vhost-vdpa-0: queue 1: queue 1 (lost)',
    'vfio0: notes: odd',
    'vfio0: PASIDs: authorized PASID 5',
    'last closes: ioasid: release',
  ]);
  const slices = all.filter(({ ph }) => ph === 'X');
  assert.deepEqual([slices[0]!.ts, slices[0]!.dur, slices[0]!.pid, slices[1]!.tid], [990, 10, 7, 9]);
  assert.ok(all.every(({ pid, tid }) => pid < PID_MAX === tid < PID_MAX));
});

test('calls of a thread that overlap are on two tracks of its name', () => {
  const all = timelineOf([
    call({ time: 1, duration: 500 }),
    call({ time: 1.2, duration: 500 }),
    call({ time: 2, duration: 500 }),
  ]);
  const tids = all.filter(({ ph }) => ph === 'X').map(({ tid }) => tid);
  assert.equal(tids[0], tids[2]);
  assert.notEqual(tids[0], tids[1]);
});
