import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeCaller } from '../testkit/fake-caller.js';
import { everything } from '../testkit/fake-model.js';
import { refused } from '../testkit/refused.js';
import { ConfigSpace } from './config-space.js';
import { ERR, INTX, Interrupts, type IrqData, type IrqRequest, MSI, MSIX, REQ } from './interrupts.js';

const NONE: IrqData = { kind: 'none' };
const fds = (...numbers: number[]): IrqData => ({ kind: 'eventfd', fds: Int32Array.from(numbers) });
const bools = (...flags: number[]): IrqData => ({ kind: 'bool', bools: Uint8Array.from(flags) });

function setUp() {
  const config = new ConfigSpace(everything);
  const irqs = new Interrupts(everything, config);
  const caller = new FakeCaller();
  const eventfds = [10, 11, 12, 13].map((fd) => caller.addEventfd(fd));
  const set = (
    index: number,
    start: number,
    count: number,
    data: IrqData,
    action: IrqRequest['action'] = 'trigger',
  ) => irqs.set({ index, start, count, action, data }, caller);
  return { config, irqs, caller, eventfds, set, raised: () => eventfds.map(({ raised }) => raised) };
}

/** As setUp, with INTx enabled, and interrupt disable as a program writes it. */
function setUpDisable() {
  const parts = setUp();
  parts.set(INTX, 0, 1, fds(10));
  const disable = (on: boolean) => {
    parts.config.write(4, Uint8Array.of(2, on ? 4 : 0));
    parts.irqs.commandChanged();
  };
  return { ...parts, disable };
}

function word(config: ConfigSpace, offset: number): number {
  const bytes = new Uint8Array(2);
  config.read(offset, bytes);
  return bytes[0]! | (bytes[1]! << 8);
}

describe('MSI-X', () => {
  it('raises the eventfd of the vector, and drops vectors that have none', () => {
    const { irqs, set, raised } = setUp();
    irqs.raise(1);
    set(MSIX, 1, 3, fds(11, -1, 13));
    for (const vector of [0, 1, 2, 3, 99]) irqs.raise(vector);
    assert.deepEqual(raised(), [0, 1, 0, 1]);
  });

  it('takes more vectors while it is enabled, and gives single ones back', () => {
    const { irqs, set, raised, caller } = setUp();
    set(MSIX, 0, 1, fds(10));
    set(MSIX, 8, 1, fds(11));
    set(MSIX, 0, 1, fds(-1));
    for (const vector of [0, 8]) irqs.raise(vector);
    assert.deepEqual(raised(), [0, 1, 0, 0]);
    assert.equal(caller.openSignals, 1);
  });

  it('holds a vector whose table entry is masked in the PBA, and raises it when it is unmasked', () => {
    const { irqs, set, raised } = setUp();
    set(MSIX, 0, 2, fds(10, 11));
    const control = 0x2000 + 16 + 12;
    irqs.writeMsix(control, Uint8Array.of(1, 0, 0, 0));
    irqs.raise(0);
    irqs.raise(1);
    irqs.raise(1);
    const pba = new Uint8Array(8);
    irqs.msix!.read(0x3000, pba);
    assert.deepEqual([raised(), pba[0]], [[1, 0, 0, 0], 2]);
    irqs.writeMsix(0x3000, new Uint8Array(8));
    irqs.writeMsix(control, Uint8Array.of(0, 0, 0, 0));
    irqs.msix!.read(0x3000, pba);
    assert.deepEqual([raised(), pba[0]], [[1, 1, 0, 0], 0]);
  });

  it('is disabled as a whole by count 0, which closes all eventfds and clears its enable bit', () => {
    const { config, irqs, set, caller, raised } = setUp();
    const enabled = () =>
      [...Array(64).keys()]
        .map((i) => 0x40 + i * 2)
        .some((at) => (word(config, at) & 0xff) === 0x11 && word(config, at + 2) & 0x8000);
    set(MSIX, 0, 2, fds(10, 11));
    assert.equal(enabled(), true);
    set(MSIX, 0, 0, NONE);
    assert.equal(enabled(), false);
    irqs.raise(0);
    assert.deepEqual([raised(), caller.openSignals], [[0, 0, 0, 0], 0]);
    refused(() => set(MSIX, 0, 0, NONE), 'EINVAL');
  });
});

describe('MSI', () => {
  it('cannot grow past the vectors that it was enabled with: EINVAL', () => {
    const { set, irqs, raised } = setUp();
    set(MSI, 0, 2, fds(10, 11));
    refused(() => set(MSI, 2, 1, fds(12)), 'EINVAL');
    irqs.raise(1);
    assert.deepEqual(raised(), [0, 1, 0, 0]);
  });

  it('past the vectors that it was enabled with has nothing to trigger or to take away: 0', () => {
    const { set, raised } = setUp();
    set(MSI, 0, 2, fds(10, 11));
    set(MSI, 2, 1, NONE);
    set(MSI, 2, 1, bools(1));
    set(MSI, 2, 1, fds(-1));
    assert.deepEqual(raised(), [0, 0, 0, 0]);
  });

  it('is not enabled by no vectors at 0 (ERANGE), is by none above, and never in D3hot (EINVAL)', () => {
    for (const index of [MSI, MSIX]) {
      const { set, config } = setUp();
      refused(() => set(index, 0, 0, fds()), 'ERANGE');
      config.write(0x44, Uint8Array.of(3));
      refused(() => set(index, 0, 1, fds(10)), 'EINVAL');
      config.write(0x44, Uint8Array.of(0));
      set(index, 1, 0, fds());
      set(index, 0, 0, NONE);
    }
  });

  it('cannot be masked by SET_IRQS: ENOTTY', () => {
    const { set } = setUp();
    set(MSI, 0, 1, fds(10));
    refused(() => set(MSI, 0, 1, NONE, 'mask'), 'ENOTTY');
  });
});

describe('one kind at a time', () => {
  it('another kind is EINVAL until the enabled one is disabled', () => {
    const { set } = setUp();
    set(MSIX, 0, 1, fds(10));
    refused(() => set(MSI, 0, 1, fds(11)), 'EINVAL');
    refused(() => set(INTX, 0, 1, fds(11)), 'EINVAL');
    set(MSIX, 0, 0, NONE);
    set(MSI, 0, 1, fds(11));
  });

  it('a request with a bad descriptor takes none and changes nothing', () => {
    const { set, irqs, raised, caller } = setUp();
    refused(() => set(MSIX, 0, 3, fds(10, 11, 99)), 'EBADF');
    assert.equal(caller.openSignals, 0);
    set(MSI, 0, 2, fds(10, 11));
    refused(() => set(MSI, 0, 2, fds(12, 99)), 'EBADF');
    irqs.raise(0);
    assert.deepEqual(raised(), [1, 0, 0, 0]);
    assert.equal(caller.openSignals, 2);
  });
});

describe('INTx', () => {
  it('is signalled again when it is unmasked while the line is high, and not once it was lowered', () => {
    const { set, irqs, raised, config } = setUp();
    set(INTX, 0, 1, fds(10));
    for (let i = 0; i < 3; i++) irqs.drive(true);
    assert.deepEqual([raised()[0], word(config, 6) & 8], [1, 8], 'interrupt status is the line');
    set(INTX, 0, 1, NONE, 'unmask');
    assert.equal(raised()[0], 2);
    irqs.drive(false);
    set(INTX, 0, 1, bools(1), 'unmask');
    assert.deepEqual([raised()[0], word(config, 6) & 8], [2, 0]);
    irqs.drive(true);
    assert.equal(raised()[0], 3);
  });

  it('raised and acknowledged while it is masked is never signalled; the status bit shows it', () => {
    const { set, irqs, raised, config } = setUp();
    set(INTX, 0, 1, fds(10));
    set(INTX, 0, 1, NONE, 'mask');
    irqs.drive(true);
    assert.equal(word(config, 6) & 8, 8);
    irqs.drive(false);
    set(INTX, 0, 1, NONE, 'unmask');
    assert.deepEqual([raised()[0], word(config, 6) & 8], [0, 0]);
  });

  it('interrupt disable set and cleared unmasks what was masked automatically or by MASK', () => {
    const { set, irqs, raised, disable } = setUpDisable();
    irqs.drive(true);
    disable(true);
    irqs.drive(false);
    disable(false);
    irqs.drive(true);
    assert.equal(raised()[0], 2);
    irqs.drive(false);
    set(INTX, 0, 1, NONE, 'mask');
    disable(true);
    disable(false);
    irqs.drive(true);
    assert.equal(raised()[0], 3);
  });

  it('is held by interrupt disable, loopback too, and not signalled when it was lowered meanwhile', () => {
    const { set, irqs, raised, config, disable } = setUpDisable();
    disable(true);
    irqs.drive(true);
    set(INTX, 0, 1, NONE);
    set(INTX, 0, 1, NONE, 'unmask');
    assert.deepEqual([raised()[0], word(config, 6) & 8], [0, 8]);
    irqs.drive(false);
    disable(false);
    assert.equal(raised()[0], 0);
  });

  it('raised while the eventfd is -1 is signalled by UNMASK, not by the assignment of another', () => {
    const { set, irqs, raised } = setUp();
    set(INTX, 0, 1, fds(10));
    set(INTX, 0, 1, fds(-1));
    irqs.drive(true);
    set(INTX, 0, 1, fds(10));
    assert.equal(raised()[0], 0);
    set(INTX, 0, 1, NONE, 'unmask');
    assert.equal(raised()[0], 1);
  });

  it('raised before it is set up shows in the status bit, and is signalled when it is', () => {
    const { set, irqs, raised, config } = setUp();
    irqs.drive(true);
    assert.equal(word(config, 6) & 8, 8);
    set(INTX, 0, 1, fds(10));
    assert.equal(raised()[0], 1);
  });

  it('is not pending, as the status bit has it, while messages are enabled', () => {
    const { set, irqs, config } = setUp();
    set(MSI, 0, 1, fds(10));
    irqs.drive(true);
    assert.equal(word(config, 6) & 8, 0);
    set(MSI, 0, 0, NONE);
    assert.equal(word(config, 6) & 8, 8);
  });

  it('is held by interrupt disable after the device was closed with that set', () => {
    const { set, irqs, raised, config, disable } = setUpDisable();
    disable(true);
    irqs.close();
    config.reset();
    set(INTX, 0, 1, fds(10));
    disable(true);
    irqs.drive(true);
    assert.equal(raised()[0], 0);
  });

  it('refuses masking before it is enabled (EINVAL) and by eventfd (ENOTTY)', () => {
    const { set } = setUp();
    refused(() => set(INTX, 0, 1, NONE, 'mask'), 'EINVAL');
    set(INTX, 0, 1, fds(10));
    refused(() => set(INTX, 0, 1, fds(11), 'unmask'), 'ENOTTY');
    refused(() => set(INTX, 0, 1, fds(11), 'mask'), 'ENOTTY');
    set(INTX, 0, 1, fds(-1), 'unmask');
    refused(() => set(INTX, 0, 0, bools()), 'EINVAL');
  });
});

describe('loopback', () => {
  it('triggers the eventfds of the vectors named, without data or by flag', () => {
    const { set, raised } = setUp();
    refused(() => set(MSIX, 0, 1, NONE), 'EINVAL');
    set(MSIX, 0, 4, fds(10, 11, 12, 13));
    set(MSIX, 1, 2, NONE);
    set(MSIX, 0, 4, bools(1, 0, 1, 0));
    assert.deepEqual(raised(), [1, 1, 2, 0]);
  });
});

describe('ERR and REQ', () => {
  it('are single eventfds beside the kind that is enabled', () => {
    const { set, irqs, raised, caller } = setUp();
    set(MSIX, 0, 1, fds(10));
    refused(() => set(ERR, 0, 1, NONE), 'EINVAL');
    for (const index of [ERR, REQ]) refused(() => set(index, 0, 1, fds(-2)), 'EINVAL');
    set(ERR, 0, 1, fds(11));
    set(REQ, 0, 1, fds(12));
    irqs.raiseError();
    set(REQ, 0, 1, NONE);
    set(REQ, 0, 1, bools(1));
    assert.deepEqual(raised(), [0, 1, 2, 0]);
    set(ERR, 0, 1, fds(13));
    set(REQ, 0, 0, NONE);
    set(ERR, 0, 1, fds(-1));
    assert.equal(caller.openSignals, 1);
    refused(() => set(ERR, 0, 1, NONE, 'mask'), 'ENOTTY');
  });
});
