/** Portals and work queues: which descriptors get in, and with which PASID. */
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
  RECORD,
  read32,
  SHARED,
  submit,
  swerr,
  write32,
} from '../../testkit/dsa-program.js';
import { type Fields, PAGE, pack, SparseHost } from '../../testkit/sparse-host.js';
import { settle } from '../fake-host.js';
import { Opcode, Status } from './descriptor.js';
import createDsa from './index.js';
import { Command, CommandStatus, Register, WqField, WqState } from './registers.js';
import { SoftwareErrorCode } from './software-error.js';

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

  it('with portal=split eight parts in their order are a descriptor, as a whole one is', () => {
    const orders: [order: number[], taken: number][] = [
      [[0, 1, 2, 3, 4, 5, 6, 7], 1],
      [[0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7], 1],
      [[1, 2, 3, 4, 5, 6, 7, 0], 0],
      [[0, 1, 2, 4, 3, 5, 6, 7], 0],
      [[0, 1, 1, 2, 3, 4, 5, 6, 7], 0],
      [[7, 6, 5, 4, 3, 2, 1, 0], 0],
    ];
    const bytes = pack({ pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: PAGE });
    const part = (n: number) => bytes.subarray(8 * n, 8 * n + 8);
    for (const [order, taken] of orders) {
      for (const portal of ['split', 'whole']) {
        const host = new SparseHost();
        host.map(1, PAGE, PAGE);
        const model = createDsa(host, { ready: '1', portal });
        for (const n of order) assert.equal(model.writeBar(2, 0x1040 + 8 * n, part(n)), true);
        // What goes to another place is no part of it.
        model.writeBar(2, 0x1080 + 8 * order.length, part(0));
        settle(model);
        const status = host.peek(1, PAGE, 1)[0];
        assert.equal(status, portal === 'split' && taken === 1 ? Status.SUCCESS : 0, `${portal} ${order}`);
      }
    }
    const model = createDsa(new SparseHost(), { ready: '1', portal: 'split' });
    for (const n of [0, 1, 2, 3]) model.writeBar(2, 8 * n, part(n));
    model.reset!();
    for (const n of [4, 5, 6, 7]) model.writeBar(2, 8 * n, part(n));
    assert.equal(model.busy!(), false, 'a reset forgets parts');
    assert.equal(submit(model, { pasid: 1, opcode: Opcode.NOOP }), true);
    assert.equal(model.busy!(), true, 'a whole one is taken too');
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

  it('WQCFG tells how many descriptors wait in a work queue, and its state beside', () => {
    const model = mdev(new SparseHost([1]));
    const occupancy = Register.WQCFG + WqField.STATE;
    assert.equal((read32(model, Register.WQCAP + 4) >>> 20) & 1, 1, 'WQCAP says that it does');
    for (let count = 0; count < 3; count++) {
      assert.equal(read32(model, occupancy), count + WqState.ENABLED * 2 ** 30);
      submit(model, { pasid: 1, opcode: Opcode.NOOP });
    }
    settle(model);
    assert.equal(read32(model, occupancy), WqState.ENABLED * 2 ** 30);
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
