import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bools, capability, fds, NONE, setUpIrqs } from '../testkit/irq-set-up.js';
import { refused } from '../testkit/refused.js';
import { ERR, INTX, MSI, MSIX, REQ } from './irq-request.js';

describe('one kind at a time', () => {
  it('another kind is EINVAL until the enabled one is disabled', () => {
    const { set } = setUpIrqs();
    set(MSIX, 0, 1, fds(10));
    refused(() => set(MSI, 0, 1, fds(11)), 'EINVAL');
    refused(() => set(INTX, 0, 1, fds(11)), 'EINVAL');
    set(MSIX, 0, 0, NONE);
    set(MSI, 0, 1, fds(11));
  });

  it('a bad descriptor takes the eventfds of its request away, and enables nothing', () => {
    const { set, raised, caller } = setUpIrqs();
    for (const index of [MSI, MSIX]) {
      refused(() => set(index, 0, 3, fds(10, 11, 99)), 'EBADF');
      refused(() => set(index, 0, 1, NONE), 'EINVAL');
      assert.equal(caller.openSignals, 0);
    }
    set(MSI, 0, 4, fds(10, 11, 12, 13));
    refused(() => set(MSI, 1, 2, fds(10, 99)), 'EBADF');
    assert.equal(caller.openSignals, 2);
    set(MSI, 0, 4, NONE);
    assert.deepEqual(raised(), [1, 0, 0, 1]);
  });
});

describe('loopback', () => {
  it('triggers the eventfds of the vectors named, without data or by flag', () => {
    const { set, raised } = setUpIrqs();
    refused(() => set(MSIX, 0, 1, NONE), 'EINVAL');
    set(MSIX, 0, 4, fds(10, 11, 12, 13));
    set(MSIX, 1, 2, NONE);
    set(MSIX, 0, 4, bools(1, 0, 1, 0));
    assert.deepEqual(raised(), [1, 1, 2, 0]);
  });
});

describe('ERR and REQ', () => {
  it('are single eventfds beside the kind that is enabled', () => {
    const { set, irqs, raised, caller } = setUpIrqs();
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

describe('why a message is lost', () => {
  it('is no eventfd, or bus mastering that is off; of MSI also its capability', () => {
    for (const index of [MSI, MSIX]) {
      const { set, irqs, command } = setUpIrqs();
      assert.equal(irqs.messages, undefined);
      set(index, 0, 2, fds(10, -1));
      assert.equal(irqs.messages, index === MSI ? 'MSI' : 'MSI-X');
      assert.equal(irqs.whyLost(0), undefined);
      assert.match(irqs.whyLost(1)!, /has no eventfd/);
      command({ master: false });
      assert.match(irqs.whyLost(0)!, /bus mastering is off/);
    }
    const parts = setUpIrqs();
    parts.set(MSI, 0, 1, fds(10));
    assert.equal(parts.irqs.whyLost(1), undefined, 'it is sent as the first');
    parts.write(capability(parts, 0x05) + 2, 0);
    assert.match(parts.irqs.whyLost(0)!, /enable bit/);
  });
});
