/** Where an error of a descriptor is told: its completion record, SWERR, an interrupt. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  command,
  dedicated,
  LIST,
  mdev,
  putBatch,
  RECORD,
  read32,
  submit,
  swerr,
  write32,
} from '../../testkit/dsa-program.js';
import { type Fields, PAGE, SparseHost } from '../../testkit/sparse-host.js';
import { settle } from '../fake-host.js';
import { Flag, Opcode, Status } from './descriptor.js';
import { Command, GENCFG_USER_INTERRUPTS, Register } from './registers.js';

describe('dsa: errors of descriptors', () => {
  const noop: Fields = { opcode: Opcode.NOOP };
  const bad: Fields = { opcode: 0x7f };

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

  it('without a record address errors are in SWERR; a false predicate and a failed batch are none', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    host.map(1, LIST, PAGE);
    putBatch(host, [{ ...bad, flags: RECORD, completion: PAGE + 0x40 }, noop]);
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

  it('a record not asked for is written for errors only, not for a false predicate of a batch', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    host.map(1, LIST, PAGE);
    putBatch(host, [{ ...bad, flags: RECORD, completion: PAGE + 0x40 }, noop]);
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

  it('rules that a descriptor breaks end it with their status', () => {
    const memmove: Fields = { opcode: Opcode.MEMMOVE, flags: RECORD, a: 0x100, b: 0x200, size: 8 };
    const cases: [Fields, number][] = [
      [{ ...memmove, opcode: Opcode.DUALCAST + 1 }, Status.UNSUPPORTED_OPCODE],
      [{ ...memmove, flags: RECORD | Flag.FENCE }, Status.INVALID_FLAGS],
      [{ ...memmove, flags: RECORD | 0x40 }, Status.INVALID_FLAGS],
      [{ ...memmove, rest: [1] }, Status.RESERVED_NOT_ZERO],
      [{ ...memmove, handle: 1 }, Status.RESERVED_NOT_ZERO],
      [{ ...memmove, pasid: 1 + 2 ** 20 }, Status.RESERVED_NOT_ZERO],
      [{ ...memmove, flags: RECORD | 0x20 }, Status.INVALID_FLAGS],
      [{ ...memmove, flags: RECORD | Flag.DESTINATION_READBACK, size: 0 }, Status.TRANSFER_SIZE],
      [{ ...memmove, opcode: Opcode.COMPARE, flags: RECORD | 0x4000 }, Status.INVALID_FLAGS],
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
