/** The device as a whole: what a driver sees of it, a driver of Linux, and input of any kind. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  command,
  configure,
  DEDICATED,
  LIMITS,
  RECORD,
  read32,
  submit,
  swerr,
} from '../../testkit/dsa-program.js';
import { type Fields, PAGE, pack, SparseHost } from '../../testkit/sparse-host.js';
import { checkModel } from '../check-model.js';
import { settle } from '../fake-host.js';
import { Flag, Opcode, Status } from './descriptor.js';
import createDsa from './index.js';
import { Command, Register, WqField } from './registers.js';

describe('dsa: what a driver sees', () => {
  it('describes itself as PCI can express it', () => {
    const model = createDsa(new SparseHost(), {});
    checkModel(model);
    checkModel(model.mdev!.create(0, new SparseHost()));
    assert.equal(model.pci.vendorId, 0x8086);
    assert.equal(model.pci.deviceId, 0x0b25);
    assert.equal(model.pci.bars[1]!.size, 8 * 4 * PAGE);
  });

  it('tells its capabilities', () => {
    const model = createDsa(new SparseHost(), { wqs: '4', engines: '2', groups: '3', size: '64' });
    const gencap = read32(model, Register.GENCAP);
    assert.equal(read32(model, Register.VERSION), 0x100);
    assert.equal((gencap >>> 16) & 0x1f, 31);
    assert.equal((gencap >>> 21) & 0xf, 10);
    assert.equal(gencap >>> 31, 1);
    assert.equal(read32(model, Register.WQCAP) & 0xffffff, 0x040040);
    assert.equal(read32(model, Register.WQCAP + 4) & 0x30000, 0x30000);
    assert.equal(read32(model, Register.GRPCAP), 0x3_6003);
    assert.equal(read32(model, Register.ENGCAP), 2);
    assert.deepEqual([read32(model, Register.OPCAP), read32(model, Register.OPCAP + 4)], [0x3f03ff, 1]);
    assert.equal(read32(model, Register.CMDCAP), 0x1ffe);
  });

  it('has transfers and batches as large as its options say, and work queues no larger ones', () => {
    const model = createDsa(new SparseHost(), { 'max-transfer': '65536', 'max-batch': '16' });
    const gencap = read32(model, Register.GENCAP);
    assert.equal((gencap >>> 16) & 0x1f, 16);
    assert.equal((gencap >>> 21) & 0xf, 4);
    assert.equal(read32(model, Register.WQCFG + WqField.LIMITS) & 0x1ff, 16 + (4 << 5));
    const ready = createDsa(new SparseHost(), { 'max-transfer': '65536', 'max-batch': '16', ready: '1' });
    assert.equal(read32(ready, Register.WQCFG + WqField.LIMITS) & 0x1ff, 16 + (4 << 5));
  });

  it('refuses options that it does not know, or that are out of range', () => {
    const host = new SparseHost();
    assert.throws(() => createDsa(host, { wq: '1' }), /no option "wq"/);
    assert.throws(() => createDsa(host, { wqs: '65' }), /wqs "65" is not a number from 1 to 64/);
    for (const size of ['0', '1000', '2048', '4294967296', '0x1000', ''])
      assert.throws(() => createDsa(host, { 'max-transfer': size }), /is not a power of two from 4096 to/);
    assert.throws(
      () => createDsa(host, { 'max-batch': '1' }),
      /max-batch "1" is not a power of two from 2 to/,
    );
    assert.throws(() => createDsa(host, { mode: 'both' }), /mode "both" is not shared or dedicated/);
  });

  it('reads registers in any size, and zeros where there are none', () => {
    const model = createDsa(new SparseHost(), {});
    const byte = new Uint8Array(1);
    model.readBar(0, Register.VERSION + 1, byte);
    assert.equal(byte[0], 1);
    const end = new Uint8Array(16).fill(0xff);
    model.readBar(0, Register.END - 8, end);
    assert.deepEqual(end, new Uint8Array(16));
  });
});

describe('dsa: the driver of the Linux VFIO selftests', () => {
  it('configures a dedicated work queue without PASID, and copies in batches, the last with a record', () => {
    const host = new SparseHost();
    host.map(0, PAGE, 8 * PAGE);
    host.poke(0, 2 * PAGE, Uint8Array.of(1, 2, 3, 4));
    const model = createDsa(host, {});
    assert.equal((read32(model, Register.CMDCAP) >>> 13) & 1, 0, 'no interrupt handles to request');
    assert.equal(command(model, Command.RESET_DEVICE), 0);
    const operations = (1 << Opcode.MEMMOVE) | (1 << Opcode.BATCH);
    configure(model, [128, 0, DEDICATED, LIMITS, 0, 0, 0, 0, operations, 0, 0, 0, 0, 0, 0, 0]);
    assert.equal(command(model, Command.ENABLE_DEVICE), 0);
    assert.equal(command(model, Command.ENABLE_WQ), 0);
    const address = Flag.COMPLETION_ADDRESS_VALID;
    const copy: Fields = {
      priv: 1,
      opcode: Opcode.MEMMOVE,
      flags: address,
      completion: PAGE,
      a: 2 * PAGE,
      b: 3 * PAGE,
      size: 4,
    };
    for (const i of [0, 1]) host.poke(0, 4 * PAGE + i * 64, pack(copy));
    const batch: Fields = {
      priv: 1,
      opcode: Opcode.BATCH,
      flags: address,
      completion: PAGE + 32,
      a: 4 * PAGE,
      size: 2,
    };
    submit(model, batch);
    submit(model, { ...batch, flags: RECORD });
    submit(model, { ...copy, flags: RECORD | Flag.REQUEST_INTERRUPT, handle: 1 });
    settle(model);
    assert.deepEqual(host.peek(0, 3 * PAGE, 4), Uint8Array.of(1, 2, 3, 4));
    assert.deepEqual(
      [host.peek(0, PAGE, 1)[0], host.peek(0, PAGE + 32, 1)[0]],
      [Status.SUCCESS, Status.SUCCESS],
    );
    assert.deepEqual([host.interrupts, swerr(model).valid], [[1], false]);
    submit(model, { ...copy, opcode: Opcode.FILL, flags: RECORD });
    settle(model);
    assert.equal(
      host.peek(0, PAGE, 1)[0],
      Status.UNSUPPORTED_OPCODE,
      'an operation that WQCFG does not allow',
    );
  });
});

describe('dsa: bad input', () => {
  it('any access of any size at any offset is survived', () => {
    const offset = fc.oneof(fc.integer({ min: -64, max: 0x2100 }), fc.integer({ min: 0, max: 0x40000 }));
    const access = fc.record({
      bar: fc.nat(3),
      offset,
      bytes: fc.uint8Array({ maxLength: 130 }),
      write: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 60 }), fc.boolean(), (accesses, ready) => {
        const host = new SparseHost();
        const model = createDsa(host, ready ? { ready: '1' } : {});
        for (const { bar, offset: at, bytes, write } of accesses) {
          if (write) model.writeBar(bar, at, bytes);
          else model.readBar(bar, at, bytes);
        }
        settle(model);
      }),
    );
  });
});
