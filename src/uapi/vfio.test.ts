import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import fc from 'fast-check';
import { finish, finished, isWork } from '../file/work.js';
import { MEMORY_AT } from '../testkit/fake-caller.js';
import { everything } from '../testkit/fake-model.js';
import { madeBytes } from '../testkit/made-bytes.js';
import { refusal, refused } from '../testkit/refused.js';
import { vfioFile } from '../testkit/vfio-file.js';
import { CONFIG_REGION } from '../vfio/device.js';
import { ERR, INTX, MSI, MSIX, REQ } from '../vfio/irq-request.js';
import { DeviceFile } from './device-file.js';
import * as abi from './vfio.js';
import { REGION_SPAN, unknownIoctls } from './vfio-call.js';
import { VFIO_DEVICE_FEATURE } from './vfio-feature.js';

describe('argsz', () => {
  it('less than the first version of the struct is EINVAL, more is fine', () => {
    const sizes = new Map([
      [abi.VFIO_DEVICE_GET_INFO, 16],
      [abi.VFIO_DEVICE_GET_REGION_INFO, 32],
      [abi.VFIO_DEVICE_GET_IRQ_INFO, 16],
      [abi.VFIO_DEVICE_SET_IRQS, 20],
      [VFIO_DEVICE_FEATURE, 8],
    ]);
    for (const [cmd, size] of sizes) {
      for (const argsz of [0, size - 1]) refused(() => vfioFile().ioctl(cmd, argsz, 0, 0, 0, 0), 'EINVAL');
    }
    for (const cmd of [
      abi.VFIO_DEVICE_GET_INFO,
      abi.VFIO_DEVICE_GET_REGION_INFO,
      abi.VFIO_DEVICE_GET_IRQ_INFO,
    ]) {
      assert.equal(vfioFile().ioctl(cmd, 0xffff_ffff, 0, 0, 0, 0), 0);
    }
  });

  it('of GET_INFO says how much of the struct the caller has room for', () => {
    const { ioctl, words } = vfioFile();
    ioctl(abi.VFIO_DEVICE_GET_INFO, 16, 9, 9, 9, 9, 9);
    assert.deepEqual(words(6), [16, 3, 9, 5, 9, 9]);
    ioctl(abi.VFIO_DEVICE_GET_INFO, 24, 9, 9, 9, 9, 9);
    assert.deepEqual(words(6), [24, 3, 9, 5, 0, 0]);
  });

  it('an unmapped address is EFAULT', () => {
    const { device, caller } = vfioFile();
    for (const [cmd, { handle }] of abi.vfioIoctls) {
      if (cmd === abi.VFIO_DEVICE_RESET) continue;
      for (const arg of [0, MEMORY_AT + 16_380, 2 ** 64]) {
        refused(() => handle(device, caller, { cmd, arg, data: new Uint8Array(0) }), 'EFAULT');
      }
    }
  });
});

test('an ioctl of a device has neither size nor direction, or is ENOTTY, which wakes the device too', () => {
  for (const [number, { handle }] of abi.vfioIoctls) {
    const { device, caller } = vfioFile();
    const [eventfd, data] = [caller.addEventfd(9), new Uint8Array(0)];
    device.power.enter(caller.eventfd(9));
    const cmd = (number | (0xc018 << 16)) >>> 0;
    refused(() => finished(handle(device, caller, { cmd, arg: MEMORY_AT, data })), 'ENOTTY', /no size/);
    assert.equal(eventfd.raised, 1);
  }
});

test('an ioctl that a device file does not have is ENOTTY, and wakes the device', () => {
  const { device, caller } = vfioFile();
  const eventfd = caller.addEventfd(9);
  const file = new DeviceFile(device, abi.vfioIoctls, { release: () => undefined }, unknownIoctls);
  for (let n = 1; n < 3; n++) {
    device.power.enter(caller.eventfd(9));
    const call = { cmd: 0x3bff, arg: MEMORY_AT, data: new Uint8Array(0) };
    refused(() => finished(file.ioctl(caller, call)), 'ENOTTY', /no ioctl 0x3bff/);
    assert.equal(eventfd.raised, n);
  }
});

describe('GET_REGION_INFO', () => {
  it('tells size, place and rights of each region', () => {
    const { ioctl, words } = vfioFile();
    const region = (index: number) => {
      ioctl(abi.VFIO_DEVICE_GET_REGION_INFO, 32, 0xff, index, 7, 7, 7, 7, 7);
      const [, flags, , cap, size, sizeHigh, offset, offsetHigh] = words(8);
      assert.deepEqual([cap, sizeHigh, offset, offsetHigh], [7, 0, 0, index << 8], 'cap_offset stays');
      return [flags, size];
    };
    assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7].map(region), [
      [3, 0x1_0000],
      [0, 0],
      [3, 0x1000],
      [0, 0],
      [0, 0],
      [0, 0],
      [0, 0],
      [3, 4096],
    ]);
    for (const index of [8, 9, 0xffff_ffff]) {
      refused(() => ioctl(abi.VFIO_DEVICE_GET_REGION_INFO, 32, 0, index, 0, 0, 0, 0, 0), 'EINVAL');
    }
  });

  it('says of a region with the MSI-X table that it can be mapped with that', () => {
    const { ioctl, words, caller } = vfioFile();
    caller.mapsFiles = true;
    const info = (argsz: number, index: number) => {
      ioctl(abi.VFIO_DEVICE_GET_REGION_INFO, argsz, 0xff, index, 7, 7, 7, 7, 7, 7, 7);
      const [size, flags, , cap, , , , , header, next] = words(10);
      return [size, flags, cap, header, next];
    };
    const { REGION_INFO_MMAP, REGION_INFO_CAPS, REGION_INFO_CAP_MSIX_MAPPABLE } = abi;
    const flags = 3 | REGION_INFO_MMAP;
    assert.deepEqual(info(39, 0), [40, flags | REGION_INFO_CAPS, 0, 7, 7]);
    assert.deepEqual(info(40, 0), [
      40,
      flags | REGION_INFO_CAPS,
      32,
      REGION_INFO_CAP_MSIX_MAPPABLE | (1 << 16),
      0,
    ]);
    assert.deepEqual(info(40, 2), [40, flags, 7, 7, 7]);
    caller.mapsFiles = false;
    assert.deepEqual(info(40, 0), [40, 3, 7, 7, 7]);
  });

  it('gives the offsets at which pread and pwrite reach the region', () => {
    const { device, model } = vfioFile();
    assert.equal(abi.writeRegion(device, 2 * REGION_SPAN + 8, Uint8Array.of(5)), 1);
    assert.equal(model.bars[2]![8], 5);
    const id = new Uint8Array(2);
    assert.equal(abi.readRegion(device, CONFIG_REGION * REGION_SPAN, id), 2);
    assert.deepEqual(id, Uint8Array.of(0x86, 0x80));
    refused(() => abi.readRegion(device, 2 ** 63, id), 'EINVAL');
  });
});

describe('GET_IRQ_INFO', () => {
  it('tells count and abilities of each kind', () => {
    const { ioctl, words } = vfioFile();
    const info = (index: number) => {
      ioctl(abi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, index, 77);
      const [, flags, , count] = words(4);
      return [flags, count];
    };
    assert.deepEqual([INTX, MSI, MSIX, ERR, REQ].map(info), [
      [7, 1],
      [9, 4],
      [1, 9],
      [9, 1],
      [9, 1],
    ]);
    refused(() => ioctl(abi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, 5, 0), 'EINVAL');
  });

  it('calls MSI-X of a device without it no more resizable than the others', () => {
    const { msix: _, ...withoutMsix } = everything;
    const { ioctl, words } = vfioFile({ pci: withoutMsix });
    ioctl(abi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, MSIX, 77);
    assert.deepEqual(words(4).slice(1), [9, MSIX, 0]);
  });
});

describe('SET_IRQS', () => {
  const eventfds = abi.IRQ_SET_DATA_EVENTFD | abi.IRQ_SET_ACTION_TRIGGER;
  const none = abi.IRQ_SET_DATA_NONE | abi.IRQ_SET_ACTION_TRIGGER;

  it('assigns the eventfds that follow the struct', () => {
    const { ioctl, caller, model } = vfioFile();
    const eventfd = caller.addEventfd(10);
    ioctl(abi.VFIO_DEVICE_SET_IRQS, 28, eventfds, MSIX, 3, 2, 10, -1);
    model.host.interrupt(3);
    model.host.interrupt(4);
    ioctl(abi.VFIO_DEVICE_SET_IRQS, 20, none, MSIX, 3, 1);
    assert.equal(eventfd.raised, 2);
  });

  it('refuses ranges, flags and sizes as vfio-pci does', () => {
    const { ioctl, caller } = vfioFile();
    caller.addEventfd(10);
    const set =
      (...words: number[]) =>
      () =>
        ioctl(abi.VFIO_DEVICE_SET_IRQS, ...words);
    refused(set(24, eventfds, 5, 0, 1, 10), 'EINVAL', /index 5/);
    refused(set(24, eventfds, MSIX, 9, 1, 10), 'EINVAL', /1 vectors from 9/);
    refused(set(24, eventfds, MSIX, 8, 2, 10, 10), 'EINVAL', /2 vectors from 8/);
    refused(set(24, eventfds, MSIX, 1, 0xffff_ffff, 10), 'EINVAL', /from 1 on/);
    refused(set(27, eventfds, MSIX, 0, 2, 10, 10), 'EINVAL', /argsz 27/);
    refused(set(24, eventfds | (1 << 6), MSIX, 0, 1, 10), 'EINVAL', /does not know/);
    refused(set(24, eventfds | abi.IRQ_SET_DATA_NONE, MSIX, 0, 1, 10), 'EINVAL', /type of data/);
    refused(set(24, abi.IRQ_SET_ACTION_TRIGGER, MSIX, 0, 1, 10), 'EINVAL', /type of data/);
    refused(set(24, abi.IRQ_SET_DATA_NONE, MSIX, 0, 1), 'ENOTTY', /action/);
    refused(set(24, eventfds, MSIX, 0, 1, 99), 'EBADF', /99/);
    assert.equal(caller.openSignals, 0);
  });

  it('of any bytes is done or refused, and leaks no eventfd', () => {
    const small = fc.nat(12);
    const word = fc.oneof(small, small, fc.nat(0xffff_ffff), fc.nat(0x7f));
    const header = fc.tuple(fc.oneof(fc.nat(64), fc.nat(0xffff_ffff)), fc.nat(0x7f), fc.nat(5), small, small);
    const calls = fc.array(fc.tuple(header, fc.array(word, { minLength: 12, maxLength: 12 })), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(calls, (requests) => {
        const { ioctl, caller, device, model } = vfioFile();
        for (let fd = 0; fd < 10; fd++) caller.addEventfd(fd);
        for (const [head, data] of requests) {
          refusal(() => assert.equal(ioctl(abi.VFIO_DEVICE_SET_IRQS, ...head, ...data), 0));
          for (let vector = 0; vector < 9; vector++) model.host.interrupt(vector);
        }
        finish(device.close());
        assert.equal(caller.openSignals, 0);
      }),
    );
  });
});

describe('the other ioctls', () => {
  it('RESET wakes a function that is in D3hot: its registers answer again', () => {
    const { device, ioctl } = vfioFile();
    const control = new Uint8Array(1);
    device.readRegion(CONFIG_REGION, 0x34, control);
    const at = control[0]! + 4;
    device.writeRegion(CONFIG_REGION, at, Uint8Array.of(3, 0));
    refused(() => device.readRegion(0, 0, new Uint8Array(4)), 'EIO');
    assert.equal(ioctl(abi.VFIO_DEVICE_RESET), 0);
    assert.equal(device.readRegion(0, 0, new Uint8Array(4)), 4);
  });

  it('RESET resets the model', () => {
    const { ioctl, model } = vfioFile();
    assert.equal(ioctl(abi.VFIO_DEVICE_RESET), 0);
    assert.equal(model.resets, 1);
  });
});

describe('a long transfer of a BAR', () => {
  /** The file of a device whose model notes its accesses. */
  function noted() {
    const { device, model, caller } = vfioFile();
    const seen: string[] = [];
    const { readBar, writeBar } = model;
    model.readBar = (bar, offset, target) => {
      seen.push(`read ${offset}+${target.length}`);
      readBar.call(model, bar, offset, target);
    };
    model.writeBar = (bar, offset, source) => {
      seen.push(`write ${offset}+${source.length}`);
      return writeBar.call(model, bar, offset, source);
    };
    return { device, caller, seen, operations: abi.regionOperations(device) };
  }

  it('is work, of which a piece is done at a time, by the accesses that it would be at once', () => {
    const range = fc.record({ offset: fc.integer({ min: 0x4000, max: 0x4400 }), length: fc.nat(4096) });
    fc.assert(
      fc.property(range, ({ offset, length }) => {
        const [sliced, whole] = [noted(), noted()];
        const bytes = madeBytes(length, (at) => at * 7);
        const [there, here] = [new Uint8Array(length), new Uint8Array(length)];
        const written = sliced.operations.write!(offset, bytes, sliced.caller);
        if (length > 1024) assert.ok(isWork(written) && sliced.seen.length <= 67);
        assert.equal(finished(written), whole.device.writeRegion(0, offset, bytes));
        const before = sliced.seen.length;
        const read = sliced.operations.read!(offset, there, sliced.caller);
        if (length > 1024) assert.ok(isWork(read) && sliced.seen.length <= before + 67);
        assert.equal(finished(read), whole.device.readRegion(0, offset, here));
        assert.deepEqual([sliced.seen, there], [whole.seen, here]);
        assert.deepEqual(there, bytes);
      }),
    );
  });

  it('ends with the BAR, and what was to be written is its own', () => {
    const { operations, caller, device } = noted();
    const bytes = new Uint8Array(2048).fill(5);
    const work = operations.write!(0x1_0000 - 1024, bytes, caller);
    bytes.fill(6);
    assert.equal(finished(work), 1024);
    const read = new Uint8Array(1024);
    device.readRegion(0, 0x1_0000 - 1024, read);
    assert.ok(read.every((byte) => byte === 5));
    assert.equal(finished(operations.read!(0x1_0000 - 1024, new Uint8Array(2048), caller)), 1024);
  });
});
