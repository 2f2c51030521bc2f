/** What VFIO_DEVICE_FEATURE of vfio-pci answers for a function that neither migrates nor is virtual. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { finished } from '../file/work.js';
import { FakeCaller } from '../testkit/fake-caller.js';
import { refused } from '../testkit/refused.js';
import { vfioFile } from '../testkit/vfio-file.js';
import { regionOperations, writeRegion } from './vfio.js';
import {
  FEATURE_DMA_BUF,
  FEATURE_GET,
  FEATURE_LOW_POWER_ENTRY,
  FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  FEATURE_LOW_POWER_EXIT,
  FEATURE_PROBE,
  FEATURE_SET,
  VFIO_DEVICE_FEATURE,
} from './vfio-feature.js';

const EVENTFD = 10;
const PAGE = 4096;

function setUp(options?: Parameters<typeof vfioFile>[0]) {
  const { ioctl, caller, device } = vfioFile(options);
  const eventfd = caller.addEventfd(EVENTFD);
  const feature = (flags: number, argsz = 8, ...data: number[]) =>
    ioctl(VFIO_DEVICE_FEATURE, argsz, flags, ...data);
  return { feature, caller, device, eventfd };
}

describe('VFIO_DEVICE_FEATURE', () => {
  it('knows low power, which can be probed and set, not got', () => {
    const { feature } = setUp();
    for (const number of [
      FEATURE_LOW_POWER_ENTRY,
      FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
      FEATURE_LOW_POWER_EXIT,
    ]) {
      assert.equal(feature(number | FEATURE_PROBE), 0);
      assert.equal(feature(number | FEATURE_PROBE | FEATURE_SET), 0);
      refused(() => feature(number | FEATURE_PROBE | FEATURE_GET), 'EINVAL');
      refused(() => feature(number | FEATURE_GET), 'EINVAL');
      refused(() => feature(number), 'EINVAL', /neither probe, get nor set/);
    }
  });

  it('has dma-bufs, and refuses a question about one that is none', () => {
    const { feature } = setUp();
    for (const flags of [FEATURE_PROBE, FEATURE_PROBE | FEATURE_GET])
      assert.equal(feature(FEATURE_DMA_BUF | flags), 0);
    refused(() => feature(FEATURE_DMA_BUF | FEATURE_GET, 24, 0, 0, 0, 1, 0, 0, PAGE, 0), 'EOPNOTSUPP');
    for (const none of [1, 6])
      refused(() => feature(FEATURE_DMA_BUF | FEATURE_GET, 24, none, 0, 0, 1, 0, 0, PAGE, 0), 'ENODEV');
    refused(() => feature(FEATURE_DMA_BUF | FEATURE_GET, 24, 0, 0, 0, 2, 0, 0, PAGE, 0), 'EINVAL', /pages/);
    refused(() => feature(FEATURE_DMA_BUF | FEATURE_GET, 24, 0, 0, 0, 1, 0, 1, PAGE, 0), 'EINVAL', /within/);
    refused(() => feature(FEATURE_DMA_BUF), 'EINVAL', /neither probe nor get/);
    for (const flags of [FEATURE_SET, FEATURE_PROBE | FEATURE_SET, FEATURE_PROBE | FEATURE_SET | FEATURE_GET])
      refused(() => feature(FEATURE_DMA_BUF | flags), 'EINVAL', /got, not set/);
    refused(() => feature(FEATURE_DMA_BUF | FEATURE_GET, 23, 0, 0, 0, 1), 'EINVAL', /no room/);
    refused(() => feature(FEATURE_DMA_BUF | FEATURE_GET, 24, 0, 0, 0, 0), 'EINVAL', /no range/);
    refused(() => feature(FEATURE_DMA_BUF | FEATURE_GET, 24, 0, 0, 1, 1), 'EINVAL', /flags 0x1/);
  });

  it('a dma-buf has at most 4096 ranges: ENOMEM, before they are read', () => {
    const { feature } = setUp();
    refused(() => feature(FEATURE_DMA_BUF | FEATURE_GET, 24, 0, 0, 0, 4097), 'ENOMEM', /4097 ranges/);
  });

  it('low power is entered once, and left as often as one likes', () => {
    const { feature } = setUp();
    assert.equal(feature(FEATURE_LOW_POWER_EXIT | FEATURE_SET), 0);
    assert.equal(feature(FEATURE_LOW_POWER_ENTRY | FEATURE_SET), 0);
    refused(() => feature(FEATURE_LOW_POWER_ENTRY | FEATURE_SET), 'EINVAL', /already/);
    assert.equal(feature(FEATURE_LOW_POWER_EXIT | FEATURE_SET), 0);
    assert.equal(feature(FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | FEATURE_SET, 16, EVENTFD, 0), 0);
  });

  it('the wakeup wants an eventfd, and room for its number', () => {
    const { feature, caller } = setUp();
    const enter = FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | FEATURE_SET;
    refused(() => feature(enter, 15, EVENTFD, 0), 'EINVAL', /no room/);
    refused(() => feature(enter, 16, -1, 0), 'EINVAL');
    refused(() => feature(enter, 16, 99, 0), 'EBADF');
    assert.equal(caller.openSignals, 0);
  });

  it('what its user asks next signals the eventfd of the wakeup, once, and ends low power', () => {
    const { feature, caller, device, eventfd } = setUp();
    const enter = () => feature(FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | FEATURE_SET, 16, EVENTFD, 7);
    const asking: (() => unknown)[] = [
      () => device.readRegion(7, 0, new Uint8Array(4)),
      () => device.writeRegion(7, 4, new Uint8Array(2)),
      () => feature(FEATURE_LOW_POWER_EXIT | FEATURE_SET),
      () => feature(FEATURE_LOW_POWER_EXIT | FEATURE_PROBE),
      () => refused(() => feature(0xffff), 'ENOTTY'),
    ];
    for (const [n, ask] of asking.entries()) {
      enter();
      device.readRegion(7, 0, new Uint8Array(0));
      assert.deepEqual([eventfd.raised, caller.openSignals], [n, 1]);
      for (let again = 0; again < 2; again++) ask();
      assert.deepEqual([eventfd.raised, caller.openSignals], [n + 1, 0]);
    }
    enter();
    finished(device.close());
    assert.deepEqual([eventfd.raised, caller.openSignals], [asking.length, 0]);
  });

  it('a mapped BAR is not to be accessed in low power, and does not wake; a call on it is answered', () => {
    const { feature, device, eventfd, caller } = setUp();
    const { mapping, read } = regionOperations(device);
    const bytes = new Uint8Array(4);
    const accesses = [
      () => mapping!.read(0, bytes),
      () => mapping!.write(new FakeCaller(), 0, bytes),
      () => mapping!.write64(new FakeCaller(), 0, new Uint8Array(64)),
    ];
    const allRefused = () => {
      for (const access of accesses) refused(access, 'EIO', /low power/);
    };
    feature(FEATURE_LOW_POWER_ENTRY | FEATURE_SET);
    allRefused();
    assert.equal(read!(0, bytes, caller), 4);
    allRefused();
    feature(FEATURE_LOW_POWER_EXIT | FEATURE_SET);
    for (const access of accesses) access();
    feature(FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | FEATURE_SET, 16, EVENTFD, 0);
    allRefused();
    assert.equal(eventfd.raised, 0);
    assert.equal(read!(0, bytes, caller), 4);
    for (const access of accesses) access();
  });

  it('a function in D3hot is in D0 after low power', () => {
    const { feature, device, caller } = setUp();
    const at = 7 * 2 ** 40 + 0x44;
    const { read } = regionOperations(device);
    const state = new Uint8Array(1);
    writeRegion(device, at, Uint8Array.of(3));
    assert.equal(read!(at, state, caller), 1);
    assert.equal(state[0]! & 3, 3);
    feature(FEATURE_LOW_POWER_ENTRY | FEATURE_SET);
    assert.equal(read!(at, state, caller), 1);
    assert.equal(state[0]! & 3, 0);
  });

  it('what a function does not have is ENOTTY, but EINVAL for the precopy of a migration', () => {
    const { feature } = setUp();
    for (const number of [0, 1, 2, 6, 7, 8, 9, 10, 13, 0xffff])
      for (const how of [FEATURE_PROBE, FEATURE_GET, FEATURE_SET, 0])
        refused(() => feature(number | how), 'ENOTTY');
    refused(() => feature(12 | FEATURE_PROBE), 'EINVAL');
  });

  it('a mediated device has none at all', () => {
    const { feature } = setUp({ mediated: true });
    refused(() => feature(FEATURE_LOW_POWER_ENTRY | FEATURE_PROBE), 'ENOTTY');
  });

  it('unknown flags, and get and set at once, are EINVAL', () => {
    const { feature } = setUp();
    refused(() => feature(1 | FEATURE_GET | FEATURE_SET), 'EINVAL');
    refused(() => feature(1 << 19), 'EINVAL');
  });
});
