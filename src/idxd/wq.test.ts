/** What may be written into the configuration of a device, and when: the rules of Linux's driver. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finish } from '../file/work.js';
import { idxdScene } from '../testkit/idxd-scene.js';
import { refused } from '../testkit/refused.js';
import type { IdxdWq } from './wq.js';

type Errno = 'EINVAL' | 'EPERM' | 'ENXIO' | 'EOPNOTSUPP';
type Write = (wq: IdxdWq) => void;

/** By attribute: what it is refused with while enabled, what it takes, and what it does not. */
const attributes: readonly [name: string, enabled: Errno, good: Write, bad: readonly Write[]][] = [
  ['group_id', 'EPERM', (wq) => wq.setGroup(3), [(wq) => wq.setGroup(4), (wq) => wq.setGroup(-2)]],
  ['mode', 'EPERM', (wq) => wq.setDedicated(false), [(wq) => wq.setDedicated(undefined)]],
  [
    'size',
    'EPERM',
    (wq) => wq.setSize(16, wq.size),
    [(wq) => wq.setSize(129, 16), (wq) => wq.setSize(113, 32)],
  ],
  ['priority', 'EPERM', (wq) => wq.setPriority(15), [(wq) => wq.setPriority(16)]],
  ['block_on_fault', 'ENXIO', (wq) => wq.setBlockOnFault(true), [(wq) => wq.setBlockOnFault(undefined)]],
  [
    'threshold',
    'ENXIO',
    (wq) => wq.setThreshold(16),
    [(wq) => wq.setThreshold(0), (wq) => wq.setThreshold(17)],
  ],
  ['type', 'EPERM', (wq) => wq.setType('user'), [(wq) => wq.setType(undefined)]],
  ['name', 'EPERM', (wq) => wq.setName('x'), [(wq) => wq.setName(''), (wq) => wq.setName('x'.repeat(1025))]],
  ['driver_name', 'EPERM', (wq) => wq.setDriverName('x'), [(wq) => wq.setDriverName('x'.repeat(129))]],
  [
    'max_transfer_size',
    'EPERM',
    (wq) => wq.setMaxTransfer(2n ** 31n),
    [0n, 2n ** 31n + 1n, 2n ** 63n, undefined].map((value) => (wq) => wq.setMaxTransfer(value)),
  ],
  [
    'max_batch_size',
    'EPERM',
    (wq) => wq.setMaxBatch(1024n),
    [0n, 1025n, undefined].map((value) => (wq) => wq.setMaxBatch(value)),
  ],
  ['op_config', 'EPERM', (wq) => wq.setOperations(1n), [(wq) => wq.setOperations(2n ** 255n)]],
];

async function disabledWq(): Promise<IdxdWq> {
  const { device } = await idxdScene('');
  device.wqs[0]!.setSize(16, 0);
  return device.wqs[0]!;
}

for (const [name, errno, good, bad] of attributes) {
  test(`${name} is ${errno} while it may not be written`, async () => {
    const { device } = await idxdScene(',ready=1');
    refused(() => good(device.wqs[0]!), errno);
  });

  test(`${name} that is out of range is EINVAL, and changes nothing`, async () => {
    const wq = await disabledWq();
    good(wq);
    const shown = (each: IdxdWq) => [
      each.group,
      each.size,
      each.threshold,
      each.name,
      each.maxTransfer,
      each.maxBatch,
    ];
    const before = shown(wq);
    for (const write of bad) refused(() => write(wq), 'EINVAL');
    assert.deepEqual(shown(wq), before);
  });
}

test('sizes are rounded up to powers of two', async () => {
  const wq = await disabledWq();
  for (const [written, kept] of [
    [1n, 1],
    [2n, 2],
    [3n, 4],
    [4097n, 8192],
    [2n ** 30n + 1n, 2 ** 31],
    [2n ** 63n + 1n, 1],
    [2n ** 64n - 1n, 1],
  ] as const) {
    wq.setMaxTransfer(written);
    assert.equal(wq.maxTransfer, kept);
  }
});

test('a dedicated work queue has no threshold and no retries', async () => {
  const wq = await disabledWq();
  wq.setThreshold(9);
  wq.setRetries(1000);
  assert.equal(wq.retries, 64);
  wq.setDedicated(true);
  assert.equal(wq.threshold, 0);
  refused(() => wq.setThreshold(9), 'EINVAL', /dedicated/);
  refused(() => wq.setRetries(1), 'EOPNOTSUPP');
  refused(() => wq.retries, 'EOPNOTSUPP');
});

test('a change of type clears the name, and only that', async () => {
  const wq = await disabledWq();
  wq.setName(' my queue \n');
  wq.setDriverName('user');
  wq.setType('none');
  assert.equal(wq.name, 'my queue');
  wq.setType('user');
  assert.deepEqual([wq.name, wq.driverName], ['', 'user']);
});

test('groups keep their traffic classes, and have no read buffers where the device has none', async () => {
  const { device } = await idxdScene('');
  const [group] = device.groups;
  assert.deepEqual([group!.trafficClass(0), group!.trafficClass(1)], [1, 1]);
  refused(() => group!.setTrafficClass(0, 0), 'EPERM', /version is below 3/);
  const { readBuffers } = device.caps;
  group!.setReadBuffersReserved(readBuffers);
  refused(() => device.groups[1]!.setReadBuffersReserved(readBuffers + 1), 'EINVAL');
  refused(() => group!.setReadBuffersAllowed(readBuffers + 1, 0), 'EINVAL');
  refused(() => group!.setProgressLimit(0, 4), 'EINVAL');
});

test('what belongs to the device is EPERM while that is enabled', async () => {
  const { device } = await idxdScene(',ready=1');
  const [group] = device.groups;
  refused(() => group!.setReadBuffersReserved(0), 'EPERM', /enabled/);
  refused(() => device.setReadBufferLimit(0), 'EPERM', /enabled/);
  finish(device.disableWq(device.wqs[0]!));
  refused(() => device.wqs[0]!.setSize(1, device.claimedSize), 'EPERM', /dsa0 is enabled/);
  device.engines[0]!.setGroup(2);
  assert.equal(device.engines[0]!.group, 2);
});
