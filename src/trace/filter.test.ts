import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refused } from '../testkit/refused.js';
import type { CallEvent, TraceEvent } from './event.js';
import { parseFilter, shows } from './filter.js';

const call = (more: Partial<CallEvent>): TraceEvent => ({
  kind: 'call',
  call: 'ioctl',
  path: 'vfio/devices/vfio0',
  pid: 7,
  tid: 8,
  name: 'IOMMU_IOAS_MAP',
  result: 0,
  duration: 1,
  time: 0,
  ...more,
});
const failed = call({ error: 'EINVAL', reason: 'no', result: -1 });
const where = { rid: '0000:6a:01.0', pasid: 1, write: true, iova: '0x0', time: 0 };
const dma: TraceEvent = { kind: 'dma', length: 8, ...where };
const fault: TraceEvent = { kind: 'fault', reason: 'no', ...where };
const note: TraceEvent = { kind: 'note', device: 'vfio0', sentence: 'no', time: 0 };
const all = [call({}), failed, dma, fault, note];

/** Which of `all` are shown. */
function shown(expressions: readonly string[], pids: readonly number[] = []) {
  const filter = parseFilter(expressions, pids);
  return all.filter((event) => shows(filter, event, () => ['vfio0', 'vfio1']));
}

test('without a kind everything is shown, and kinds add up', () => {
  assert.deepEqual(shown([]), all);
  assert.deepEqual(shown(['error,fault', 'note']), [failed, fault, note]);
  assert.deepEqual(shown(['dma']), [dma]);
  assert.deepEqual(shown(['call']), [all[0], failed]);
});

test('calls are named in full or with stars', () => {
  for (const name of ['IOMMU_IOAS_MAP', 'IOMMU_*', '*_MAP', 'IOMMU_*_MAP', '*', 'x,ioctl'])
    assert.equal(shown([`call=${name}`]).length, 2, name);
  for (const name of ['IOMMU_IOAS', 'IOAS_MAP', 'IOMMU_*_MAPS', 'IOMMU_IOAS_MAP*P', 'read'])
    assert.equal(shown([`call=${name}`]).length, 0, name);
});

test('a device narrows all kinds; DMA is of each device with its requester id', () => {
  for (const name of ['vfio0', 'vfio/devices/vfio0', '/dev/vfio/devices/vfio0', 'x,vfio0'])
    assert.ok(shown([`device=${name}`]).includes(failed), name);
  const ofSysfs = { ...failed, path: '/sys/devices/pci0000:6a/0000:6a:01.0/reset' };
  for (const [name, is] of [
    ['0000:6a:01.0', true],
    ['reset', true],
    ['01.0', false],
  ] as const)
    assert.equal(
      shows(parseFilter([`device=${name}`]), ofSysfs, () => []),
      is,
      name,
    );
  assert.deepEqual(shown(['device=vfio1']), [dma, fault]);
  assert.deepEqual(shown(['device=vfio0', 'note']), [note]);
  assert.deepEqual(shown(['device=vfio2']), []);
});

test('a process or a thread of it leaves calls only', () => {
  assert.deepEqual(shown([], [7]), [all[0], failed]);
  assert.deepEqual(shown(['error'], [1, 8]), [failed]);
  assert.deepEqual(shown([], [9]), []);
});

test('what is not understood is told with what there is', () => {
  refused(() => parseFilter(['calls']), 'EINVAL', /"calls" is nothing to show: -e takes call, error/);
  refused(() => parseFilter(['call=']), 'EINVAL');
});
