import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { finish } from '../file/work.js';
import { refused } from '../testkit/refused.js';
import { type VfioFileOptions, vfioFile } from '../testkit/vfio-file.js';
import { CONFIG_REGION } from '../vfio/device.js';
import { VFIO_DEVICE_IOEVENTFD } from './vfio-ioeventfd.js';

const FD = 10;
const NONE = -1;

interface Write {
  readonly argsz?: number;
  readonly width?: number;
  readonly region?: number;
  readonly offset?: number;
  readonly value?: number;
  readonly fd?: number;
}

/** BAR 2 has 4 KiB; BAR 0 the MSI-X table at 0x2000, of 9 entries. */
function setUp(options?: VfioFileOptions) {
  const file = vfioFile(options);
  const eventfd = file.caller.addEventfd(FD);
  const set = ({ argsz = 32, width = 4, region = 2, offset = 0, value = 7, fd = FD }: Write) =>
    file.ioctl(VFIO_DEVICE_IOEVENTFD, argsz, width, offset, region << 8, value, 0, fd, 0);
  const ring = () => {
    eventfd.rings++;
    file.device.busy();
  };
  return { ...file, eventfd, set, ring, bar: file.model.bars[2]! };
}

describe('VFIO_DEVICE_IOEVENTFD', () => {
  it('makes a write to the eventfd the write to the register, and takes it out of the eventfd', () => {
    const { set, ring, bar, eventfd } = setUp();
    bar.fill(0xff);
    set({ width: 2, offset: 0x12, value: 0x12345678 });
    assert.equal(bar[0x12], 0xff);
    ring();
    assert.deepEqual([...bar.subarray(0x11, 0x15)], [0xff, 0x78, 0x56, 0xff]);
    bar.fill(0xff);
    ring();
    assert.deepEqual([bar[0x12], eventfd.emptied], [0x78, 2]);
  });

  it('writes at once when the eventfd was written to before, and leaves that in it', () => {
    const { set, bar, eventfd } = setUp();
    eventfd.rings = 1;
    set({ value: 5 });
    assert.deepEqual([bar[0], eventfd.emptied], [5, 0]);
  });

  it('writes the newest first of those that share an eventfd', () => {
    const { set, ring, bar } = setUp();
    set({ value: 5 });
    set({ value: 6 });
    ring();
    assert.equal(bar[0], 5);
  });

  it('comes before the calls that follow it', () => {
    const { set, device, eventfd } = setUp();
    set({ value: 9 });
    eventfd.rings++;
    const word = new Uint8Array(4);
    device.readRegion(2, 0, word);
    assert.equal(word[0], 9);
  });

  it('is lost where the device cannot take the write, as a posted write is', () => {
    const { set, ring, bar, model, device } = setUp();
    set({});
    model.full = true;
    ring();
    model.full = false;
    device.writeRegion(CONFIG_REGION, 4, Uint8Array.of(4, 0));
    ring();
    device.writeRegion(CONFIG_REGION, 4, Uint8Array.of(6, 0));
    assert.equal(bar[0], 0);
  });

  it('has one eventfd for each write, which -1 takes away', () => {
    const { set, ring, bar, eventfd } = setUp();
    refused(() => set({ fd: NONE }), 'ENODEV');
    set({});
    refused(() => set({}), 'EEXIST');
    for (const other of [{ width: 2 }, { value: 8 }, { offset: 4 }]) set(other);
    assert.equal(eventfd.open, 4);
    set({ fd: NONE });
    refused(() => set({ fd: NONE }), 'ENODEV');
    ring();
    assert.deepEqual([eventfd.open, bar[0]], [3, 7]);
  });

  it('is refused for places outside the BARs and in the MSI-X table, odd flags and bad descriptors', () => {
    const { set, eventfd } = setUp();
    for (const wrong of [
      { argsz: 27 },
      ...[0, 3, 16, 0x80000004].map((width) => ({ width })),
      ...[1, 6, 7, 8, 9].map((region) => ({ region })),
      ...[0xffe, 0x1000].map((offset) => ({ offset })),
      ...[0x1ffd, 0x2000, 0x208c].map((offset) => ({ region: 0, offset })),
      { fd: -2 },
    ])
      refused(() => set(wrong), 'EINVAL');
    refused(() => set({ fd: 99 }), 'EBADF');
    assert.equal(eventfd.open, 0);
    for (const offset of [0x1ffc, 0x2090, 0x3000]) set({ region: 0, offset });
    set({ offset: 0xffc, argsz: 28 });
  });

  it('is not for mediated devices: ENOTTY', () => {
    const { set } = setUp({ mediated: true });
    refused(() => set({}), 'ENOTTY');
  });

  it('has room for 1000 (ENOSPC), and gives all eventfds back when the device is closed', () => {
    const { set, device, eventfd } = setUp();
    for (let value = 0; value < 1000; value++) set({ value });
    refused(() => set({ value: 1000 }), 'ENOSPC', /has 1000 registers that eventfds write already/);
    refused(() => set({ value: 1 }), 'EEXIST');
    assert.equal(eventfd.open, 1000);
    finish(device.close());
    assert.equal(eventfd.open, 0);
  });
});
