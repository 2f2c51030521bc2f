import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bools, fds, NONE, setUpIrqs } from '../testkit/irq-set-up.js';
import { refused } from '../testkit/refused.js';
import { INTX, MSI } from './irq-request.js';

/** With INTx enabled. */
function setUpIntx() {
  const parts = setUpIrqs();
  parts.set(INTX, 0, 1, fds(10));
  return parts;
}

describe('INTx', () => {
  it('is signalled again when it is unmasked while the line is high, and not once it was lowered', () => {
    const { set, irqs, raised, word } = setUpIrqs();
    set(INTX, 0, 1, fds(10));
    for (let i = 0; i < 3; i++) irqs.drive(true);
    assert.deepEqual([raised()[0], word(6) & 8], [1, 8], 'interrupt status is the line');
    set(INTX, 0, 1, NONE, 'unmask');
    assert.equal(raised()[0], 2);
    irqs.drive(false);
    set(INTX, 0, 1, bools(1), 'unmask');
    assert.deepEqual([raised()[0], word(6) & 8], [2, 0]);
    irqs.drive(true);
    assert.equal(raised()[0], 3);
  });

  it('raised and acknowledged while it is masked is never signalled; the status bit shows it', () => {
    const { set, irqs, raised, word } = setUpIrqs();
    set(INTX, 0, 1, fds(10));
    set(INTX, 0, 1, NONE, 'mask');
    irqs.drive(true);
    assert.equal(word(6) & 8, 8);
    irqs.drive(false);
    set(INTX, 0, 1, NONE, 'unmask');
    assert.deepEqual([raised()[0], word(6) & 8], [0, 0]);
  });

  it('interrupt disable set and cleared unmasks what was masked automatically or by MASK', () => {
    const { set, irqs, raised, command } = setUpIntx();
    irqs.drive(true);
    command({ disable: true });
    irqs.drive(false);
    command({ disable: false });
    irqs.drive(true);
    assert.equal(raised()[0], 2);
    irqs.drive(false);
    set(INTX, 0, 1, NONE, 'mask');
    command({ disable: true });
    command({ disable: false });
    irqs.drive(true);
    assert.equal(raised()[0], 3);
  });

  it('is held by interrupt disable, loopback too, and not signalled when it was lowered meanwhile', () => {
    const { set, irqs, raised, word, command } = setUpIntx();
    command({ disable: true });
    irqs.drive(true);
    set(INTX, 0, 1, NONE);
    set(INTX, 0, 1, NONE, 'unmask');
    assert.deepEqual([raised()[0], word(6) & 8], [0, 8]);
    irqs.drive(false);
    command({ disable: false });
    assert.equal(raised()[0], 0);
  });

  it('raised while the eventfd is -1 is signalled by UNMASK, not by the assignment of another', () => {
    const { set, irqs, raised } = setUpIrqs();
    set(INTX, 0, 1, fds(10));
    set(INTX, 0, 1, fds(-1));
    irqs.drive(true);
    set(INTX, 0, 1, fds(10));
    assert.equal(raised()[0], 0);
    set(INTX, 0, 1, NONE, 'unmask');
    assert.equal(raised()[0], 1);
  });

  it('raised before it is set up shows in the status bit, and is signalled when it is', () => {
    const { set, irqs, raised, word } = setUpIrqs();
    irqs.drive(true);
    assert.equal(word(6) & 8, 8);
    set(INTX, 0, 1, fds(10));
    assert.equal(raised()[0], 1);
  });

  it('is not pending, as the status bit has it, while messages are enabled', () => {
    const { set, irqs, word } = setUpIrqs();
    set(MSI, 0, 1, fds(10));
    irqs.drive(true);
    assert.equal(word(6) & 8, 0);
    set(MSI, 0, 0, NONE);
    assert.equal(word(6) & 8, 8);
  });

  it('is held by interrupt disable after the device was closed with that set', () => {
    const { set, irqs, raised, config, command } = setUpIntx();
    command({ disable: true });
    irqs.close();
    config.reset();
    set(INTX, 0, 1, fds(10));
    command({ disable: true });
    irqs.drive(true);
    assert.equal(raised()[0], 0);
  });

  it('needs no bus mastering: it is a wire', () => {
    const { irqs, raised, command } = setUpIntx();
    command({ master: false });
    irqs.drive(true);
    assert.equal(raised()[0], 1);
  });

  it('refuses masking before it is enabled (EINVAL) and by eventfd (ENOTTY)', () => {
    const { set } = setUpIrqs();
    refused(() => set(INTX, 0, 1, NONE, 'mask'), 'EINVAL');
    set(INTX, 0, 1, fds(10));
    refused(() => set(INTX, 0, 1, fds(11), 'mask'), 'ENOTTY');
    set(INTX, 0, 1, fds(-1), 'unmask');
    refused(() => set(INTX, 0, 0, bools()), 'EINVAL');
  });
});

describe('UNMASK of INTx by an eventfd', () => {
  it('is done at each write to it, which is taken out of it', () => {
    const { set, irqs, raised, eventfds } = setUpIntx();
    const unmask = eventfds[1]!;
    set(INTX, 0, 1, fds(11), 'unmask');
    irqs.drive(true);
    irqs.hear();
    assert.equal(raised()[0], 1);
    for (const times of [1, 2]) {
      unmask.rings++;
      for (let looks = 0; looks < 2; looks++) irqs.hear();
      assert.deepEqual([raised()[0], unmask.emptied], [1 + times, times]);
    }
    irqs.drive(false);
    unmask.rings++;
    irqs.hear();
    assert.equal(raised()[0], 3);
  });

  it('is done at once when the eventfd was written to before, and that stays in it', () => {
    const { set, irqs, raised, eventfds } = setUpIntx();
    irqs.drive(true);
    eventfds[1]!.rings = 1;
    set(INTX, 0, 1, fds(11), 'unmask');
    irqs.hear();
    assert.deepEqual([raised()[0], eventfds[1]!.emptied], [2, 0]);
  });

  it('takes one eventfd at a time (EBUSY), which -1 and the end of INTx give back', () => {
    const { set, eventfds } = setUpIntx();
    const open = () => eventfds.map(({ open }) => open);
    refused(() => set(INTX, 0, 1, fds(99), 'unmask'), 'EBADF');
    set(INTX, 0, 1, fds(11), 'unmask');
    refused(() => set(INTX, 0, 1, fds(12), 'unmask'), 'EBUSY');
    assert.deepEqual(open(), [1, 1, 0, 0]);
    set(INTX, 0, 1, fds(-1), 'unmask');
    assert.deepEqual(open(), [1, 0, 0, 0]);
    set(INTX, 0, 1, fds(12), 'unmask');
    set(INTX, 0, 0, NONE);
    assert.deepEqual(open(), [0, 0, 0, 0]);
    refused(() => set(INTX, 0, 1, fds(12), 'unmask'), 'EINVAL');
  });
});
