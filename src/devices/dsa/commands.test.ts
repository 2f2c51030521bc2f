/** Commands: what each does, waits for, and refuses. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  command,
  configure,
  DEDICATED,
  dedicated,
  LIMITS,
  mdev,
  PASID_ENABLE,
  PRIVILEGED,
  RECORD,
  read32,
  SHARED,
  submit,
  swerr,
  write32,
} from '../../testkit/dsa-program.js';
import { type Fields, PAGE, SparseHost } from '../../testkit/sparse-host.js';
import { settle } from '../fake-host.js';
import { Opcode, Status } from './descriptor.js';
import createDsa from './index.js';
import { Command, CommandStatus, GRPCFG_STRIDE, GroupField, Register } from './registers.js';
import { SoftwareErrorCode } from './software-error.js';

describe('dsa: commands', () => {
  it('enabling twice, on a disabled device, or a work queue that is not there: the status says so', () => {
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

  it('groups share out the read buffers that there are, and each may use what it reserves', () => {
    const flags = (reserved: number, allowed: number) => reserved * 2 ** 8 + allowed * 2 ** 20;
    const cases: [number[], number][] = [
      [[flags(37, 96), flags(59, 59)], CommandStatus.SUCCESS],
      [[flags(37, 96), flags(60, 60)], CommandStatus.GROUP_BUFFERS],
      [[flags(37, 36)], CommandStatus.GROUP_BUFFERS],
      [[0], CommandStatus.SUCCESS],
    ];
    for (const [groups, status] of cases) {
      const model = createDsa(new SparseHost(), {});
      configure(model, [16, 0, DEDICATED, LIMITS]);
      const register = Register.GRPCFG + GroupField.FLAGS;
      assert.equal(read32(model, register), flags(0, 96), 'all of them, as long as nobody says otherwise');
      for (const [i, value] of groups.entries()) write32(model, register + i * GRPCFG_STRIDE, value);
      assert.equal(read32(model, register), groups[0]);
      assert.equal(command(model, Command.ENABLE_DEVICE), status, JSON.stringify(groups));
    }
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
    const small: [number[], number][] = [
      [[16, 0, DEDICATED, 16 + (4 << 5)], CommandStatus.SUCCESS],
      [[16, 0, DEDICATED, 17 + (4 << 5)], CommandStatus.WQ_MAX_TRANSFER],
      [[16, 0, DEDICATED, 16 + (5 << 5)], CommandStatus.WQ_MAX_BATCH],
    ];
    const limits = { 'max-transfer': '65536', 'max-batch': '16' };
    for (const [wqcfg, status] of [...cases, ...small]) {
      const model = createDsa(new SparseHost(), small.some(([each]) => each === wqcfg) ? limits : {});
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

  it('a drain is active until what came before it has ended; a second command meanwhile is an error', () => {
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
