import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { PciDescription } from '../devices/device-model.js';
import { everything, withoutPasids } from '../testkit/fake-model.js';
import { refusal, refused } from '../testkit/refused.js';
import { ConfigSpace } from './config-space.js';

const COMMAND = 0x04;
const EXPRESS_SIZE = 4096;

function read(config: ConfigSpace, offset: number, bytes: 1 | 2 | 4): number {
  const data = new Uint8Array(4);
  config.read(offset, data.subarray(0, bytes));
  return new DataView(data.buffer).getUint32(0, true);
}

function write(config: ConfigSpace, offset: number, bytes: 1 | 2 | 4, value: number): boolean {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, value, true);
  return config.write(offset, data.subarray(0, bytes));
}

/** Capabilities by id, with their offsets, walked as a driver does. */
function capabilities(config: ConfigSpace): Map<number, number> {
  const found = new Map<number, number>();
  for (let at = read(config, 0x34, 1); at !== 0; at = read(config, at + 1, 1)) {
    assert.ok(at >= 0x40 && at % 4 === 0 && found.size < 48, `capability at ${at}`);
    found.set(read(config, at, 1), at);
  }
  return found;
}

function extendedCapabilities(config: ConfigSpace): Map<number, number> {
  const found = new Map<number, number>();
  for (let at = 0x100; at !== 0; at = read(config, at, 4) >>> 20) found.set(read(config, at, 2), at);
  return found;
}

function dump(config: ConfigSpace): Uint8Array {
  const bytes = new Uint8Array(config.size);
  config.read(0, bytes);
  return bytes;
}

describe('configuration space', () => {
  it('identifies the function', () => {
    const config = new ConfigSpace({
      ...everything,
      revision: 3,
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
    });
    assert.equal(read(config, 0, 4), 0x0b25_8086);
    assert.equal(read(config, 8, 4), 0x0880_0003);
    assert.equal(read(config, 0x0e, 1), 0, 'header type 0, one function');
    assert.equal(read(config, 0x2c, 4), 0x1100_1af4);
    assert.equal(read(config, 0x3d, 1), 1, 'INTA');
  });

  it('is handed over with memory space on and bus mastering off', () => {
    const config = new ConfigSpace(everything);
    assert.equal(config.memoryEnabled, true);
    assert.equal(config.busMaster, false);
    write(config, COMMAND, 2, 0x0004);
    assert.equal(config.memoryEnabled, false);
    assert.equal(config.busMaster, true);
    config.reset();
    assert.equal(read(config, COMMAND, 2), 0x0002);
  });

  it('tells the size of a 32-bit and of a 64-bit BAR by the bits that all ones leave', () => {
    const config = new ConfigSpace(everything);
    for (const at of [0x10, 0x14, 0x18, 0x1c, 0x30]) write(config, at, 4, 0xffff_ffff);
    assert.equal(read(config, 0x10, 4), 0xffff_000c);
    assert.equal(read(config, 0x14, 4), 0xffff_ffff);
    assert.equal(read(config, 0x18, 4), 0xffff_f000);
    assert.equal(read(config, 0x1c, 4), 0, 'no BAR 3');
    assert.equal(read(config, 0x30, 4), 0, 'no expansion ROM');
  });

  it('tells the size of BARs of 4 GiB and more', () => {
    for (const bits of [32, 33, 39]) {
      const config = new ConfigSpace({ ...everything, bars: [{ index: 0, size: 2 ** bits, is64: true }] });
      write(config, 0x10, 4, 0xffff_ffff);
      write(config, 0x14, 4, 0xffff_ffff);
      const mask = BigInt(read(config, 0x14, 4)) * 2n ** 32n + BigInt(read(config, 0x10, 4) & ~0xf);
      assert.equal(2n ** 64n - mask, 2n ** BigInt(bits));
    }
  });

  it('lists the capabilities that the function has', () => {
    const config = new ConfigSpace(everything);
    const found = capabilities(config);
    assert.deepEqual(
      [...found.keys()].sort((a, b) => a - b),
      [0x01, 0x05, 0x10, 0x11],
    );
    assert.equal(read(config, found.get(0x05)! + 2, 2) & 0xe, 2 << 1, '4 MSI vectors');
    assert.equal(read(config, found.get(0x11)! + 2, 2), 8, '9 MSI-X vectors');
    assert.equal(read(config, found.get(0x11)! + 4, 4), 0x2000);
    assert.equal(read(config, found.get(0x11)! + 8, 4), 0x3000);
  });

  it('shows ATS and PRI of a function that asks for pages, lets nobody write them, and hides PASID', () => {
    const config = new ConfigSpace({ ...everything, pageRequests: true });
    config.write(0x100, new Uint8Array(0x100).fill(0xff));
    const found = extendedCapabilities(config);
    assert.deepEqual([...found.keys()], [0x0f, 0x13]);
    assert.equal(read(config, found.get(0x0f)! + 6, 2), 0x8000, 'ATS is enabled');
    assert.equal(read(config, found.get(0x13)! + 4, 2), 1, 'PRI is enabled');
    assert.equal(read(new ConfigSpace(everything), 0x100, 4), 0);
  });

  it('is that of a root complex integrated endpoint, whose sizes and error reports can be set', () => {
    const config = new ConfigSpace(everything);
    const express = capabilities(config).get(0x10)!;
    assert.equal(read(config, express + 2, 2), 0x0092);
    write(config, express + 8, 2, 0x7fff);
    assert.equal(read(config, express + 8, 2), 0x70ef);
    assert.equal(read(config, express + 0x0c, 4), 0, 'no link');
  });

  it('is that of an endpoint behind a port, with a link', () => {
    const config = new ConfigSpace(everything, false, true);
    const express = capabilities(config).get(0x10)!;
    assert.equal(read(config, express + 2, 2), 0x0002);
    config.write(express + 0x0c, new Uint8Array(8).fill(0xff));
    assert.equal(read(config, express + 0x0c, 4), 0x411);
    assert.equal(read(config, express + 0x12, 2), 0x11);
  });

  it('is that of conventional PCI under strict alone where the model says so', () => {
    const pci = { ...withoutPasids, conventional: 'strict' } as const;
    assert.deepEqual([new ConfigSpace(pci).size, new ConfigSpace(pci, true).size], [4096, 256]);
  });

  it('has 256 bytes in conventional PCI, and neither power management nor Express nor a reset', () => {
    const config = new ConfigSpace({ ...withoutPasids, conventional: true });
    assert.equal(config.size, 256);
    assert.equal(config.resettable, false);
    assert.deepEqual(
      [...capabilities(config).keys()].sort((a, b) => a - b),
      [0x05, 0x11],
    );
    config.write(0, new Uint8Array(256).fill(0xff));
    assert.equal(config.inD3hot, false);
    refused(() => config.read(255, new Uint8Array(2)), 'EFAULT', /past the 256 bytes/);
  });

  it('lets a program set I/O, memory, bus mastering, SERR# and interrupt disable, and nothing else', () => {
    const config = new ConfigSpace(everything);
    write(config, COMMAND, 2, 0xffff);
    assert.equal(read(config, COMMAND, 2), 0x0507);
  });

  it('lists nothing that the function does not have', () => {
    const config = new ConfigSpace({ vendorId: 1, deviceId: 2, classCode: 0, bars: [] });
    assert.deepEqual(
      [...capabilities(config).keys()].sort((a, b) => a - b),
      [0x01, 0x10],
    );
    assert.equal(read(config, 0x100, 4), 0);
    assert.equal(read(config, 0x3d, 1), 0);
  });

  it('reports the initiation of a function level reset once, and reads it as 0', () => {
    const config = new ConfigSpace(everything);
    const control = capabilities(config).get(0x10)! + 8;
    const before = read(config, control, 2);
    assert.equal(write(config, control, 2, before | 0x8000), true);
    assert.equal(read(config, control, 2), before);
    assert.equal(write(config, control, 2, before), false);
  });

  it('neither answers nor issues requests in D3hot, and ignores D1 and D2', () => {
    const config = new ConfigSpace(everything);
    const control = capabilities(config).get(0x01)! + 4;
    write(config, COMMAND, 2, 0x0006);
    write(config, control, 2, 1);
    assert.equal(read(config, control, 2) & 3, 0);
    write(config, control, 2, 3);
    assert.equal(config.memoryEnabled || config.busMaster, false);
    write(config, control, 2, 2);
    assert.equal(read(config, control, 2) & 3, 3);
    config.leaveD3hot();
    assert.equal(read(config, control, 2), 8);
    write(config, control, 2, 3);
    write(config, control, 2, 0);
    assert.equal(config.memoryEnabled && config.busMaster, true);
  });

  it('refuses what reaches past its end with EFAULT and changes nothing', () => {
    const config = new ConfigSpace(everything);
    for (const [offset, length] of [
      [4096, 1],
      [4095, 2],
      [0, 4097],
      [2 ** 39, 4],
    ] as const) {
      refused(() => config.read(offset, new Uint8Array(length)), 'EFAULT');
      refused(() => config.write(offset, new Uint8Array(length).fill(0xff)), 'EFAULT');
    }
    assert.deepEqual(dump(config), dump(new ConfigSpace(everything)));
  });

  it('changes no read-only bit, whatever is written wherever', () => {
    const ones = new ConfigSpace(everything);
    ones.write(0, new Uint8Array(EXPRESS_SIZE).fill(0xff));
    const zeros = new ConfigSpace(everything);
    zeros.write(0, new Uint8Array(EXPRESS_SIZE));
    // A bit that both leave alike is read-only.
    const [high, low] = [dump(ones), dump(zeros)];
    const access = fc.tuple(fc.nat(EXPRESS_SIZE + 8), fc.uint8Array({ minLength: 0, maxLength: 80 }));
    fc.assert(
      fc.property(fc.array(access, { maxLength: 20 }), (accesses) => {
        const config = new ConfigSpace(everything);
        for (const [offset, data] of accesses) refusal(() => config.write(offset, data));
        dump(config).forEach((byte, at) => {
          const readOnly = ~(high[at]! ^ low[at]!) & 0xff;
          assert.equal(byte & readOnly, low[at]! & readOnly, `byte ${at}`);
        });
      }),
    );
  });

  it('keeps the capability list whole, whatever is written wherever', () => {
    const description: fc.Arbitrary<PciDescription> = fc.constantFrom(everything, withoutPasids, {
      ...withoutPasids,
      bars: [],
    });
    fc.assert(
      fc.property(description, fc.uint8Array({ minLength: 4096, maxLength: 4096 }), (pci, noise) => {
        const config = new ConfigSpace(pci);
        const before = capabilities(config);
        config.write(0, noise);
        assert.deepEqual(capabilities(config), before);
      }),
    );
  });
});
