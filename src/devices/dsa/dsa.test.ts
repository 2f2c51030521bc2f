import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Fields, PAGE, pack, SparseHost } from '../../testkit/sparse-host.js';
import type { DeviceModel } from '../device-model.js';
import { settle } from '../fake-host.js';
import { checkModel } from '../load.js';
import { Flag, Opcode, Status } from './descriptor.js';
import createDsa from './index.js';
import { Command, CommandStatus, GENCFG_USER_INTERRUPTS, Register } from './registers.js';
import { SoftwareErrorCode } from './software-error.js';

const RECORD = Flag.COMPLETION_ADDRESS_VALID | Flag.REQUEST_COMPLETION;

function read32(model: DeviceModel, offset: number): number {
  const bytes = new Uint8Array(4);
  model.readBar(0, offset, bytes);
  return new DataView(bytes.buffer).getUint32(0, true);
}

function write32(model: DeviceModel, offset: number, value: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  model.writeBar(0, offset, bytes);
}

function command(model: DeviceModel, code: number, operand = 0, interrupt = false): number {
  write32(model, Register.CMD, operand + code * 2 ** 20 + (interrupt ? 2 ** 31 : 0));
  return read32(model, Register.CMDSTS);
}

function submit(model: DeviceModel, fields: Fields, portal = 0): boolean {
  return model.writeBar(2, portal * PAGE, pack(fields)) !== false;
}

/** Configures work queue 0 and engine 0 in group 0, as a driver does: WQCFG words, then GRPCFG. */
function configure(model: DeviceModel, wqcfg: readonly number[]): void {
  const tables = read32(model, Register.TABLE_OFFSET);
  for (const [i, value] of wqcfg.entries()) write32(model, (tables >>> 16) * 0x100 + i * 4, value);
  write32(model, (tables & 0xffff) * 0x100, 1);
  write32(model, (tables & 0xffff) * 0x100 + 32, 1);
}

const DEDICATED = 0x11;
const SHARED = 0x10;
const PASID_ENABLE = 0x10000000;
const PRIVILEGED = 0x20000000;
const LIMITS = 31 + 10 * 2 ** 5;

/** A whole function with one dedicated work queue of `size`, for `pasid` (0: requests without PASID). */
function dedicated(host: SparseHost, pasid = 0, size = 16, gencfg = 0): DeviceModel {
  const model = createDsa(host, {});
  write32(model, Register.GENCFG, gencfg);
  configure(model, [size, 0, DEDICATED + (pasid === 0 ? 0 : PASID_ENABLE + pasid * 2 ** 8), LIMITS]);
  assert.equal(command(model, Command.ENABLE_DEVICE), 0);
  assert.equal(command(model, Command.ENABLE_WQ), 0);
  return model;
}

function mdev(host: SparseHost, options: Record<string, string> = {}): DeviceModel {
  return createDsa(new SparseHost(), options).mdev!.create(0, host);
}

function swerr(model: DeviceModel): {
  valid: boolean;
  overflow: boolean;
  error: number;
  wq: number;
  pasid: number;
  batchIndex: number;
} {
  const low = read32(model, Register.SWERR);
  return {
    valid: (low & 1) !== 0,
    overflow: (low & 2) !== 0,
    error: (low >>> 8) & 0xff,
    wq: (low >>> 16) & 0xff,
    pasid: (read32(model, Register.SWERR + 4) >>> 8) & 0xfffff,
    batchIndex: read32(model, Register.SWERR + 8) & 0xffff,
  };
}

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
    assert.equal(read32(model, Register.GRPCAP), 3);
    assert.equal(read32(model, Register.ENGCAP), 2);
    assert.equal(read32(model, Register.OPCAP), 0x3027f);
    assert.equal(read32(model, Register.CMDCAP), 0x1ffe);
  });

  it('refuses options that it does not know, or that are out of range', () => {
    const host = new SparseHost();
    assert.throws(() => createDsa(host, { wq: '1' }), /no option "wq"/);
    assert.throws(() => createDsa(host, { wqs: '65' }), /wqs "65" is not a number from 1 to 64/);
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

describe('dsa: commands', () => {
  it('enabling a device twice, a work queue on a disabled device, or one that is not there: the status says so', () => {
    const model = createDsa(new SparseHost(), {});
    assert.equal(command(model, Command.ENABLE_WQ), CommandStatus.DEVICE_NOT_ENABLED);
    assert.equal(command(model, Command.DISABLE_DEVICE), CommandStatus.DISABLE_NOT_ENABLED);
    configure(model, [16, 0, DEDICATED, LIMITS]);
    assert.equal(command(model, Command.ENABLE_DEVICE), CommandStatus.SUCCESS);
    assert.equal(command(model, Command.ENABLE_DEVICE), CommandStatus.DEVICE_NOT_DISABLED);
    assert.equal(command(model, Command.ENABLE_WQ, 8), CommandStatus.INVALID_WQ);
    assert.equal(command(model, Command.DRAIN_WQ, 1), CommandStatus.WQ_NOT_ENABLED);
    assert.equal(command(model, Command.ENABLE_WQ, 0), CommandStatus.SUCCESS);
    assert.equal(command(model, Command.ENABLE_WQ, 0), CommandStatus.WQ_NOT_DISABLED);
    assert.equal(command(model, 13), CommandStatus.INVALID_COMMAND);
    assert.equal(command(model, Command.DRAIN_ALL + 2 ** 5), CommandStatus.RESERVED_NOT_ZERO);
    assert.equal(
      command(model, Command.RESET_WQ, 3),
      CommandStatus.SUCCESS,
      'work queue 1 was never enabled',
    );
    assert.equal(read32(model, Register.WQCFG) & 0xffff, 16, 'the size stays');
  });

  it('a configuration that cannot work is refused with its own status', () => {
    const cases: [number[], number][] = [
      [[16, 0, SHARED + PASID_ENABLE, LIMITS], CommandStatus.SUCCESS],
      [[16, 17, SHARED + PASID_ENABLE, LIMITS], CommandStatus.SUCCESS],
      [[16, 0, 0x01, LIMITS], CommandStatus.WQ_PRIORITY],
      [[16, 16, SHARED, LIMITS], CommandStatus.WQ_PASID],
      [[16, 0, DEDICATED + PASID_ENABLE, LIMITS], CommandStatus.WQ_PASID],
      [[16, 0, DEDICATED + PASID_ENABLE + PRIVILEGED + 2 ** 8, LIMITS], CommandStatus.WQ_PRIVILEGED],
      [[16, 0, DEDICATED, 31], CommandStatus.WQ_MAX_BATCH],
      [[16, 0, DEDICATED, 31 + 11 * 2 ** 5], CommandStatus.WQ_MAX_BATCH],
    ];
    for (const [wqcfg, status] of cases) {
      const model = createDsa(new SparseHost(), {});
      configure(model, wqcfg);
      assert.equal(command(model, Command.ENABLE_DEVICE), CommandStatus.SUCCESS);
      assert.equal(command(model, Command.ENABLE_WQ), status, JSON.stringify(wqcfg));
    }
  });

  it('groups that cannot work are refused when the device is enabled', () => {
    const tooLarge = createDsa(new SparseHost(), {});
    configure(tooLarge, [129]);
    assert.equal(command(tooLarge, Command.ENABLE_DEVICE), CommandStatus.WQ_SIZES_OUT_OF_RANGE);
    const noEngine = createDsa(new SparseHost(), {});
    configure(noEngine, [16]);
    write32(noEngine, Register.GRPCFG + 32, 0);
    assert.equal(command(noEngine, Command.ENABLE_DEVICE), CommandStatus.GROUP_INCOMPLETE);
    const noWq = createDsa(new SparseHost(), {});
    configure(noWq, [16]);
    write32(noWq, Register.GRPCFG + 64 + 32, 2);
    assert.equal(command(noWq, Command.ENABLE_DEVICE), CommandStatus.GROUP_INCOMPLETE);
    const inactive = createDsa(new SparseHost(), {});
    configure(inactive, [0]);
    assert.equal(command(inactive, Command.ENABLE_DEVICE), CommandStatus.GROUP_WQS);
    const twoGroups = createDsa(new SparseHost(), {});
    configure(twoGroups, [16]);
    write32(twoGroups, Register.GRPCFG + 64, 1);
    assert.equal(command(twoGroups, Command.ENABLE_DEVICE), CommandStatus.GROUP_WQS);
    const twice = createDsa(new SparseHost(), {});
    configure(twice, [16]);
    write32(twice, Register.GRPCFG + 64 + 32, 1);
    assert.equal(command(twice, Command.ENABLE_DEVICE), CommandStatus.GROUP_ENGINES);
  });

  it('a drain is active until the descriptors before it have ended, and a second command meanwhile is an error', () => {
    const host = new SparseHost();
    host.map(0, 0x100000, 0x200000);
    const model = dedicated(host);
    submit(model, { opcode: Opcode.MEMMOVE, a: 0x100000, b: 0x200000, size: 0x100000 });
    assert.equal(command(model, Command.DRAIN_WQ, 1, true) >>> 31, 1);
    assert.equal(command(model, Command.DRAIN_ALL) >>> 31, 1);
    assert.equal(swerr(model).error, SoftwareErrorCode.COMMAND_WHILE_ACTIVE);
    settle(model);
    assert.equal(read32(model, Register.CMDSTS), CommandStatus.SUCCESS);
    assert.deepEqual(host.interrupts, [0]);
    assert.equal(read32(model, Register.INTCAUSE), 2);
    write32(model, Register.INTCAUSE, 2);
    assert.equal(read32(model, Register.INTCAUSE), 0);
  });

  it('a drain does not wait for what is submitted after it', () => {
    const host = new SparseHost();
    host.map(0, 0x100000, 0x200000);
    const model = dedicated(host);
    const long: Fields = { opcode: Opcode.MEMMOVE, a: 0x100000, b: 0x200000, size: 0x40000 };
    submit(model, long);
    command(model, Command.DRAIN_WQ, 1);
    for (let i = 0; i < 4; i++) submit(model, long);
    model.step!();
    model.step!();
    assert.equal(read32(model, Register.CMDSTS), CommandStatus.SUCCESS);
    assert.equal(model.busy!(), true);
  });

  it('disabling takes no more descriptors and finishes those that it took', () => {
    const host = new SparseHost();
    host.map(0, 0x100000, 0x200000);
    host.map(0, PAGE, PAGE);
    const model = dedicated(host);
    submit(model, {
      opcode: Opcode.MEMMOVE,
      flags: RECORD,
      completion: PAGE,
      a: 0x100000,
      b: 0x200000,
      size: 0x100000,
    });
    assert.equal(command(model, Command.DISABLE_DEVICE) >>> 31, 1);
    assert.equal(submit(model, { opcode: Opcode.NOOP, flags: RECORD, completion: PAGE + 32 }), true);
    settle(model);
    assert.equal(
      swerr(model).valid,
      false,
      'nobody is told of a MOVDIR64B to a work queue that is not enabled',
    );
    assert.equal(host.peek(0, PAGE + 32, 1)[0], 0);
    assert.equal(read32(model, Register.CMDSTS), 0);
    assert.equal(read32(model, Register.GENSTS), 0);
    assert.equal(host.peek(0, PAGE, 1)[0], Status.SUCCESS);
  });

  it('aborting drops the work, and a reset the configuration too', () => {
    const host = new SparseHost();
    host.map(0, 0x100000, 0x200000);
    const model = dedicated(host);
    for (const code of [Command.ABORT_WQ, Command.ABORT_ALL, Command.RESET_DEVICE]) {
      submit(model, { opcode: Opcode.MEMMOVE, a: 0x100000, b: 0x200000, size: 0x100000 });
      model.step!();
      assert.equal(model.busy!(0), true);
      assert.equal(command(model, code, 1), 0);
      assert.equal(model.busy!(), false);
    }
    assert.equal(read32(model, Register.GENSTS), 0);
    assert.equal(read32(model, Register.WQCFG), 0);
  });

  it('aborting a PASID leaves the others alone', () => {
    const host = new SparseHost([1, 2]);
    for (const pasid of [1, 2]) host.map(pasid, PAGE, PAGE);
    const model = mdev(host);
    for (const pasid of [1, 2, 1, 2])
      submit(model, { pasid, opcode: Opcode.NOOP, flags: RECORD, completion: PAGE });
    command(model, Command.ABORT_PASID, 1);
    assert.equal(model.busy!(1), false);
    assert.equal(model.busy!(2), true);
    settle(model);
    assert.equal(host.peek(1, PAGE, 1)[0], 0);
    assert.equal(host.peek(2, PAGE, 1)[0], Status.SUCCESS);
  });
});

describe('dsa: submission', () => {
  it('a whole function does nothing until it is configured, or comes ready', () => {
    const model = createDsa(new SparseHost(), {});
    assert.equal(submit(model, { pasid: 1, opcode: Opcode.NOOP }), false, 'ENQCMD is told to try again');
    assert.equal(swerr(model).valid, false);
    const host = new SparseHost();
    host.map(1, PAGE, PAGE);
    const ready = createDsa(host, { ready: '1' });
    submit(ready, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: PAGE }, 7 * 4);
    settle(ready);
    assert.equal(host.peek(1, PAGE, 1)[0], Status.SUCCESS);
  });

  it('a full shared work queue answers retry, a limited portal at its threshold', () => {
    const host = new SparseHost();
    const model = createDsa(host, {});
    configure(model, [4, 2, SHARED + PASID_ENABLE, LIMITS]);
    command(model, Command.ENABLE_DEVICE);
    command(model, Command.ENABLE_WQ);
    const noop: Fields = { pasid: 1, opcode: Opcode.NOOP };
    assert.deepEqual(
      [1, 1, 1, 0, 0, 0].map((portal) => submit(model, noop, portal)),
      [true, true, false, true, true, false],
    );
    assert.equal(swerr(model).valid, false);
    settle(model);
    assert.equal(submit(model, noop, 1), true);
    write32(model, Register.WQCFG + 4, 1);
    assert.equal(submit(model, noop, 1), false, 'the threshold may change while the work queue is enabled');
    write32(model, Register.WQCFG + 4, 99);
    assert.deepEqual(
      [1, 1, 1, 1].map((portal) => submit(model, noop, portal)),
      [true, true, true, false],
      'a threshold above the size is the size',
    );
  });

  it('a full dedicated work queue drops the descriptor and says so', () => {
    const model = dedicated(new SparseHost(), 0, 2);
    for (let i = 0; i < 3; i++) assert.equal(submit(model, { opcode: Opcode.NOOP }), true);
    assert.equal(swerr(model).error, SoftwareErrorCode.DEDICATED_WQ_FULL);
  });

  it('a portal takes 64 aligned bytes at a time and nothing else', () => {
    const model = mdev(new SparseHost());
    for (const [offset, length] of [
      [0, 8],
      [0, 128],
      [32, 64],
      [1, 64],
    ] as const) {
      assert.equal(model.writeBar(2, offset, new Uint8Array(length)), true);
    }
    assert.equal(swerr(model).valid, false);
    assert.equal(model.busy!(), false);
  });

  it('a PASID that is not admitted gets neither into a descriptor slot nor into WQCFG', () => {
    const host = new SparseHost([5]);
    const shared = mdev(host);
    assert.equal(submit(shared, { pasid: 6, opcode: Opcode.NOOP }), true);
    assert.equal(submit(shared, { pasid: 0, opcode: Opcode.NOOP }), true);
    assert.equal(shared.busy!(), false);
    assert.deepEqual(swerr(shared), {
      valid: true,
      overflow: true,
      error: SoftwareErrorCode.TRANSLATION_REFUSED,
      wq: 0,
      pasid: 6,
      batchIndex: 0,
    });
    const own = mdev(host, { mode: 'dedicated' });
    write32(own, Register.WQCFG + 8, DEDICATED + PASID_ENABLE + 6 * 2 ** 8);
    assert.equal((read32(own, Register.WQCFG + 8) >>> 8) & 0xfffff, 0);
    assert.equal(command(own, Command.ENABLE_WQ), CommandStatus.WQ_PASID);
    write32(own, Register.WQCFG + 8, DEDICATED + PASID_ENABLE + 5 * 2 ** 8);
    assert.equal(command(own, Command.ENABLE_WQ), CommandStatus.SUCCESS);
  });

  it('a PASID that is no longer admitted cannot be enabled', () => {
    const host = new SparseHost([5]);
    const model = mdev(host, { mode: 'dedicated' });
    write32(model, Register.WQCFG + 8, DEDICATED + PASID_ENABLE + 5 * 2 ** 8);
    host.admitted = [];
    assert.equal(command(model, Command.ENABLE_WQ), CommandStatus.WQ_PASID);
  });

  it('a mediated device cannot be configured, and comes back configured from a reset', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    const model = mdev(host);
    assert.equal(read32(model, Register.GENCAP) >>> 31, 0);
    assert.equal(command(model, Command.RESET_DEVICE), 0);
    write32(model, Register.WQCFG, 99);
    write32(model, Register.GRPCFG, 0);
    assert.equal(read32(model, Register.WQCFG), 16);
    assert.equal(command(model, Command.ENABLE_DEVICE), 0);
    assert.equal(command(model, Command.ENABLE_WQ), 0);
    submit(model, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: PAGE });
    settle(model);
    assert.equal(host.peek(1, PAGE, 1)[0], Status.SUCCESS);
  });

  it('a function level reset drops all work and leaves a mediated device ready', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    const model = mdev(host);
    submit(model, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: PAGE });
    model.reset();
    assert.equal(model.busy!(), false);
    settle(model);
    assert.equal(host.peek(1, PAGE, 1)[0], 0);
    assert.equal(submit(model, { pasid: 1, opcode: Opcode.NOOP }), true);
    assert.equal(model.busy!(1), true);
  });
});

describe('dsa: the driver of the Linux VFIO selftests', () => {
  it('resets, configures one dedicated work queue without PASID, and copies in batches of which only the last asks for a record', () => {
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

describe('dsa: batches, drains and errors', () => {
  const LIST = 0x10000;

  function batchOf(host: SparseHost, descriptors: readonly Fields[]): void {
    for (const [i, fields] of descriptors.entries()) host.poke(1, LIST + i * 64, pack(fields));
  }

  function runBatch(
    descriptors: readonly Fields[],
    count = descriptors.length,
  ): { host: SparseHost; model: DeviceModel; record: DataView } {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    host.map(1, LIST, PAGE);
    batchOf(host, descriptors);
    const model = mdev(host);
    submit(model, { pasid: 1, opcode: Opcode.BATCH, flags: RECORD, completion: PAGE, a: LIST, size: count });
    settle(model);
    return { host, model, record: new DataView(host.peek(1, PAGE, 32).buffer) };
  }

  const noop: Fields = { opcode: Opcode.NOOP };
  const bad: Fields = { opcode: 0x7f };

  it('a batch executes its descriptors and counts them', () => {
    const { record, host } = runBatch([{ opcode: Opcode.FILL, a: 7, b: PAGE + 0x100, size: 8 }, noop, noop]);
    assert.deepEqual([record.getUint8(0), record.getUint32(4, true)], [Status.SUCCESS, 3]);
    assert.equal(host.peek(1, PAGE + 0x100, 1)[0], 7);
  });

  it('a failed descriptor fails the batch, which goes on', () => {
    const { record, model } = runBatch([noop, bad, noop]);
    assert.deepEqual([record.getUint8(0), record.getUint32(4, true)], [Status.BATCH_FAILED, 3]);
    assert.deepEqual([swerr(model).error, swerr(model).batchIndex], [Status.UNSUPPORTED_OPCODE, 1]);
  });

  it('a fence after a failure abandons the rest', () => {
    const fill: Fields = { opcode: Opcode.FILL, flags: Flag.FENCE, a: 7, b: PAGE + 0x100, size: 8 };
    const { record, host } = runBatch([noop, bad, fill, noop]);
    assert.deepEqual([record.getUint8(0), record.getUint32(4, true)], [Status.BATCH_FAILED, 2]);
    assert.equal(host.peek(1, PAGE + 0x100, 1)[0], 0);
    assert.equal(runBatch([noop, fill]).record.getUint8(0), Status.SUCCESS);
  });

  it('a false predicate fails the batch', () => {
    const compare: Fields = {
      opcode: Opcode.COMPARE,
      flags: RECORD | Flag.CHECK_RESULT,
      completion: PAGE + 0x40,
      a: PAGE + 0x200,
      b: PAGE + 0x300,
      size: 16,
      rest: [1],
    };
    const { record, host } = runBatch([compare, noop]);
    assert.equal(record.getUint8(0), Status.BATCH_FAILED);
    assert.equal(host.peek(1, PAGE + 0x40, 1)[0], Status.SUCCESS_FALSE_PREDICATE);
  });

  it('neither a batch nor a drain may be in a batch', () => {
    const inner: Fields = { opcode: Opcode.BATCH, flags: RECORD, completion: PAGE + 0x40, a: LIST, size: 2 };
    const { host } = runBatch([
      inner,
      { ...inner, opcode: Opcode.DRAIN, a: 0, size: 0, completion: PAGE + 0x60 },
    ]);
    assert.equal(host.peek(1, PAGE + 0x40, 1)[0], Status.UNSUPPORTED_OPCODE);
    assert.equal(host.peek(1, PAGE + 0x60, 1)[0], Status.UNSUPPORTED_OPCODE);
  });

  it('a batch has from 2 descriptors to the maximum, at a multiple of 64', () => {
    assert.equal(runBatch([noop]).record.getUint8(0), Status.DESCRIPTOR_COUNT);
    assert.equal(runBatch([noop], 1025).record.getUint8(0), Status.DESCRIPTOR_COUNT);
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    const model = mdev(host);
    submit(model, { pasid: 1, opcode: Opcode.BATCH, flags: RECORD, completion: PAGE, a: LIST + 32, size: 2 });
    settle(model);
    assert.equal(host.peek(1, PAGE, 1)[0], Status.DESCRIPTOR_LIST_ALIGNMENT);
  });

  it('a page fault in the list of a batch ends it there', () => {
    const { record } = runBatch(
      Array.from({ length: 64 }, () => noop),
      66,
    );
    assert.deepEqual([record.getUint8(0), record.getUint32(4, true)], [Status.BATCH_PAGE_FAULT, 64]);
    assert.equal(record.getUint32(8, true), LIST + PAGE);
  });

  it('the descriptors of a batch have the PASID of the batch, whatever they say', () => {
    const { host } = runBatch([{ ...noop, pasid: 2, flags: RECORD, completion: PAGE + 0x40 }, noop]);
    assert.equal(host.peek(1, PAGE + 0x40, 1)[0], Status.SUCCESS);
    assert.equal(host.peek(2, PAGE + 0x40, 1)[0], 0);
  });

  it('a drain descriptor ends after all that was submitted before it', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    host.map(1, 0x100000, 0x200000);
    const model = createDsa(host, { ready: '1', wqs: '1', engines: '4' });
    const long: Fields = { pasid: 1, opcode: Opcode.MEMMOVE, a: 0x100000, b: 0x200000, size: 0x100000 };
    submit(model, { ...long, flags: RECORD, completion: PAGE });
    submit(model, { pasid: 1, opcode: Opcode.DRAIN, flags: RECORD, completion: PAGE + 0x20 });
    submit(model, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: PAGE + 0x40 });
    for (; host.peek(1, PAGE, 1)[0] === 0; model.step!()) {
      assert.equal(host.peek(1, PAGE + 0x20, 1)[0], 0);
      assert.equal(host.peek(1, PAGE + 0x40, 1)[0], 0);
    }
    settle(model);
    assert.equal(host.peek(1, PAGE + 0x20, 1)[0], Status.SUCCESS);
  });

  it('without a drain a short descriptor overtakes a long one on another engine', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    host.map(1, 0x100000, 0x200000);
    const model = createDsa(host, { ready: '1', wqs: '1', engines: '2' });
    submit(model, {
      pasid: 1,
      opcode: Opcode.MEMMOVE,
      flags: RECORD,
      completion: PAGE,
      a: 0x100000,
      b: 0x200000,
      size: 0x100000,
    });
    submit(model, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: PAGE + 0x20 });
    model.step!();
    assert.deepEqual([host.peek(1, PAGE, 1)[0], host.peek(1, PAGE + 0x20, 1)[0]], [0, Status.SUCCESS]);
  });

  it('a record that cannot be written is an error in SWERR, with an interrupt when that is enabled', () => {
    const host = new SparseHost([1]);
    const model = mdev(host);
    write32(model, Register.GENCTRL, 1);
    submit(model, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: 0x5000 });
    settle(model);
    assert.deepEqual(
      [swerr(model).error, swerr(model).pasid, read32(model, Register.SWERR + 16)],
      [Status.COMPLETION_FAULT, 1, 0x5000],
    );
    assert.deepEqual([host.interrupts, read32(model, Register.INTCAUSE)], [[0], 1]);
    submit(model, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: 0x5008 });
    settle(model);
    assert.equal(swerr(model).overflow, true);
    write32(model, Register.SWERR, 3);
    submit(model, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: 0x5008 });
    settle(model);
    assert.equal(swerr(model).error, Status.COMPLETION_ALIGNMENT);
  });

  it('a descriptor whose record address is misaligned is not executed', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    const model = mdev(host);
    submit(model, {
      pasid: 1,
      opcode: Opcode.FILL,
      flags: RECORD,
      completion: PAGE + 8,
      a: 7,
      b: PAGE + 0x100,
      size: 8,
    });
    settle(model);
    assert.deepEqual(
      [swerr(model).error, host.peek(1, PAGE + 0x100, 1)[0]],
      [Status.COMPLETION_ALIGNMENT, 0],
    );
  });

  it('without a record address errors are in SWERR; a false predicate and a batch with failures are none', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    host.map(1, LIST, PAGE);
    batchOf(host, [{ ...bad, flags: RECORD, completion: PAGE + 0x40 }, noop]);
    const model = mdev(host);
    submit(model, { pasid: 1, opcode: Opcode.BATCH, a: LIST, size: 2 });
    settle(model);
    assert.equal(swerr(model).valid, false);
    submit(model, { pasid: 1, opcode: Opcode.FILL, a: 7, b: 0x5000, size: 8 });
    settle(model);
    assert.deepEqual(
      [swerr(model).error, read32(model, Register.SWERR) & 0x20, read32(model, Register.SWERR + 16)],
      [3, 0x20, 0x5000],
    );
  });

  it('a record that was not requested is written for errors only, not for a false predicate of a batch', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    host.map(1, LIST, PAGE);
    batchOf(host, [{ ...bad, flags: RECORD, completion: PAGE + 0x40 }, noop]);
    const model = mdev(host);
    const address = Flag.COMPLETION_ADDRESS_VALID;
    submit(model, { pasid: 1, opcode: Opcode.BATCH, flags: address, completion: PAGE, a: LIST, size: 2 });
    submit(model, {
      pasid: 1,
      opcode: Opcode.FILL,
      flags: address,
      completion: PAGE + 0x20,
      a: 7,
      b: 0x5000,
      size: 8,
    });
    settle(model);
    assert.deepEqual([host.peek(1, PAGE, 1)[0], host.peek(1, PAGE + 0x20, 1)[0]], [0, 0x83]);
  });

  it('a privileged descriptor in a shared work queue is an error in SWERR', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    const model = mdev(host);
    submit(model, { pasid: 1, priv: 1, opcode: Opcode.NOOP, flags: RECORD, completion: PAGE });
    settle(model);
    assert.deepEqual([swerr(model).error, host.peek(1, PAGE, 1)[0]], [Status.PRIVILEGE, 0]);
  });

  it('a reset by command keeps the software error, a function level reset does not', () => {
    const model = mdev(new SparseHost([1]));
    submit(model, { pasid: 2, opcode: Opcode.NOOP });
    assert.equal(command(model, Command.RESET_DEVICE), 0);
    assert.equal(swerr(model).valid, true);
    model.reset();
    assert.equal(swerr(model).valid, false);
  });

  it('a drain in a shared work queue waits for its own PASID, and not for another', () => {
    const host = new SparseHost([1, 2]);
    host.map(1, 0x100000, 0x200000);
    for (const pasid of [1, 2]) host.map(pasid, PAGE, PAGE);
    const model = createDsa(host, { ready: '1', wqs: '1', engines: '4' });
    submit(model, { pasid: 1, opcode: Opcode.MEMMOVE, a: 0x100000, b: 0x200000, size: 0x100000 });
    submit(model, { pasid: 2, opcode: Opcode.DRAIN, flags: RECORD, completion: PAGE });
    submit(model, { pasid: 1, opcode: Opcode.DRAIN, flags: RECORD, completion: PAGE });
    model.step!();
    assert.deepEqual([host.peek(2, PAGE, 1)[0], host.peek(1, PAGE, 1)[0]], [Status.SUCCESS, 0]);
    settle(model);
    assert.equal(host.peek(1, PAGE, 1)[0], Status.SUCCESS);
  });

  it('rules that a descriptor breaks end it with their status', () => {
    const memmove: Fields = { opcode: Opcode.MEMMOVE, flags: RECORD, a: 0x100, b: 0x200, size: 8 };
    const cases: [Fields, number][] = [
      [{ ...memmove, opcode: Opcode.MEMMOVE + 4 }, Status.UNSUPPORTED_OPCODE],
      [{ ...memmove, flags: RECORD | Flag.FENCE }, Status.INVALID_FLAGS],
      [{ ...memmove, flags: RECORD | 0x40 }, Status.INVALID_FLAGS],
      [{ ...memmove, rest: [1] }, Status.RESERVED_NOT_ZERO],
      [{ ...memmove, handle: 1 }, Status.RESERVED_NOT_ZERO],
      [{ ...memmove, pasid: 1 + 2 ** 20 }, Status.RESERVED_NOT_ZERO],
      [{ ...memmove, flags: RECORD | 0x20 }, Status.INVALID_FLAGS],
      [{ ...memmove, flags: RECORD | 0x4000 }, Status.INVALID_FLAGS],
      [{ ...memmove, flags: RECORD | 0x8000 }, Status.INVALID_FLAGS],
      [{ opcode: Opcode.BATCH, flags: RECORD | Flag.BLOCK_ON_FAULT, a: LIST, size: 2 }, Status.INVALID_FLAGS],
      [{ opcode: Opcode.DRAIN, flags: Flag.COMPLETION_ADDRESS_VALID }, Status.INVALID_FLAGS],
      [
        { ...memmove, opcode: Opcode.CRC_GENERATION, b: 0, flags: RECORD | Flag.ADDRESS3_TC },
        Status.INVALID_FLAGS,
      ],
      [
        {
          ...memmove,
          opcode: Opcode.CRC_GENERATION,
          b: 0,
          flags: RECORD | Flag.CRC_READ_SEED,
          rest: [0, 0, 0, 0, 0, 0, 0, 0, 2],
        },
        Status.ADDRESS_ALIGNMENT,
      ],
      [{ ...memmove, flags: RECORD | Flag.REQUEST_INTERRUPT, handle: 9 }, Status.INTERRUPT_HANDLE],
      [{ ...memmove, size: 0 }, Status.TRANSFER_SIZE],
      [{ ...memmove, size: 2 ** 31 + 1 }, Status.TRANSFER_SIZE],
      [{ ...memmove, opcode: Opcode.DUALCAST, c: 0x300 }, Status.DUALCAST_ALIGNMENT],
      [{ ...memmove, opcode: Opcode.DUALCAST, c: 0x200 }, Status.OVERLAP],
      [{ ...memmove, opcode: Opcode.COPY_CRC, b: 0x104 }, Status.OVERLAP],
    ];
    for (const [fields, status] of cases) {
      const host = new SparseHost();
      host.map(1, PAGE, PAGE);
      const model = mdev(host);
      submit(model, { ...fields, pasid: fields.pasid ?? 1, completion: PAGE });
      settle(model);
      assert.equal(host.peek(1, PAGE, 1)[0], status, JSON.stringify(fields));
    }
  });

  it('flags that are invalid are named in the record', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    const model = mdev(host);
    submit(model, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD | Flag.FENCE | 0x40, completion: PAGE });
    settle(model);
    const record = new DataView(host.peek(1, PAGE, 32).buffer);
    assert.deepEqual([record.getUint8(0), record.getUint32(16, true)], [Status.INVALID_FLAGS, 0x41]);
  });

  it('an interrupt is raised when it is asked for, on a vector that is permitted to the PASID', () => {
    const host = new SparseHost();
    host.map(0, PAGE, PAGE);
    host.map(7, PAGE, PAGE);
    const plain: Fields = {
      opcode: Opcode.NOOP,
      flags: RECORD | Flag.REQUEST_INTERRUPT,
      completion: PAGE,
      handle: 1,
    };
    const without = dedicated(host);
    submit(without, { ...plain, priv: 1 });
    settle(without);
    assert.deepEqual(host.interrupts, [1]);
    const forbidden = dedicated(host, 7);
    submit(forbidden, plain);
    settle(forbidden);
    assert.equal(
      host.peek(7, PAGE, 1)[0],
      Status.INVALID_FLAGS,
      'user mode may not ask for interrupts unless GENCFG says so',
    );
    const own = dedicated(host, 7, 16, GENCFG_USER_INTERRUPTS);
    submit(own, plain);
    settle(own);
    assert.equal(swerr(own).error, Status.INTERRUPT_HANDLE, 'it is in SWERR too');
    assert.equal(host.peek(7, PAGE, 1)[0], Status.INTERRUPT_HANDLE);
    write32(own, Register.MSIXPERM + 8, 8 + 7 * 2 ** 12);
    submit(own, plain);
    submit(own, plain, 2);
    settle(own);
    assert.deepEqual(host.interrupts, [1, 1]);
    assert.equal(host.peek(7, PAGE, 1)[0], Status.INTERRUPT_HANDLE);
    write32(own, Register.MSIXPERM + 8, 4 + 8 + 7 * 2 ** 12);
    submit(own, plain);
    settle(own);
    assert.equal(host.peek(7, PAGE, 1)[0], Status.SUCCESS);
    assert.deepEqual(host.interrupts, [1, 1], 'an entry with Ignore raises none');
    write32(own, Register.MSIXPERM + 8, 4 + 8 + 6 * 2 ** 12);
    submit(own, plain);
    settle(own);
    assert.equal(host.peek(7, PAGE, 1)[0], Status.INTERRUPT_HANDLE, 'and must be of the PASID all the same');
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
