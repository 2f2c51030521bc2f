import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bools, capability, fds, NONE, setUpIrqs } from '../testkit/irq-set-up.js';
import { refused } from '../testkit/refused.js';
import { MSI, MSIX } from './irq-request.js';

describe('MSI', () => {
  it('cannot grow past the vectors that it was enabled with: EINVAL', () => {
    const { set, irqs, raised } = setUpIrqs();
    set(MSI, 0, 2, fds(10, 11));
    refused(() => set(MSI, 2, 1, fds(12)), 'EINVAL');
    irqs.raise(1);
    assert.deepEqual(raised(), [0, 1, 0, 0]);
  });

  it('past the vectors that it was enabled with has nothing to trigger or to take away: 0', () => {
    const { set, raised } = setUpIrqs();
    set(MSI, 0, 2, fds(10, 11));
    set(MSI, 2, 1, NONE);
    set(MSI, 2, 1, bools(1));
    set(MSI, 2, 1, fds(-1));
    assert.deepEqual(raised(), [0, 0, 0, 0]);
  });

  it('is not enabled by no vectors at 0 (ERANGE), is by none above, and never in D3hot (EINVAL)', () => {
    for (const index of [MSI, MSIX]) {
      const { set, config } = setUpIrqs();
      refused(() => set(index, 0, 0, fds()), 'ERANGE');
      config.write(0x44, Uint8Array.of(3));
      refused(() => set(index, 0, 1, fds(10)), 'EINVAL');
      config.write(0x44, Uint8Array.of(0));
      set(index, 1, 0, fds());
      set(index, 0, 0, NONE);
    }
  });

  it('cannot be masked by SET_IRQS: ENOTTY', () => {
    const { set } = setUpIrqs();
    set(MSI, 0, 1, fds(10));
    refused(() => set(MSI, 0, 1, NONE, 'mask'), 'ENOTTY');
  });

  it('is lost while bus mastering is off, because it is a memory write', () => {
    const { irqs, set, raised, command } = setUpIrqs();
    set(MSI, 0, 1, fds(10));
    command({ master: false });
    irqs.raise(0);
    assert.equal(raised()[0], 0);
    command({});
    irqs.raise(0);
    assert.equal(raised()[0], 1);
  });
});

/** With the place of the MSI capability, and message 0 sent. */
function setUpControl() {
  const parts = setUpIrqs();
  const { irqs, raised, read, write } = parts;
  const at = capability(parts, 0x05);
  const control = () => read(at + 2, 1)[0];
  const sent = (vector = 0) => {
    const before = raised()[vector]!;
    irqs.raise(vector);
    return raised()[vector]! - before;
  };
  return { ...parts, at, control, sent, setControl: (value: number) => write(at + 2, value) };
}

/** A function with 4 messages: 64-bit, and log2 of them. */
const CAPABLE = 0x84;

describe('message control of MSI', () => {
  it('does not show that SET_IRQS has enabled it; written as 0 it stops the messages', () => {
    const { set, control, setControl, sent } = setUpControl();
    assert.equal(control(), CAPABLE);
    set(MSI, 0, 1, fds(10));
    assert.deepEqual([control(), sent()], [CAPABLE, 1]);
    setControl(CAPABLE);
    assert.deepEqual([control(), sent()], [CAPABLE, 0]);
    setControl(CAPABLE | 1);
    assert.deepEqual([control(), sent()], [CAPABLE | 1, 1]);
    set(MSI, 0, 0, NONE);
    assert.deepEqual([control(), sent()], [CAPABLE | 1, 0]);
  });

  it('takes an enable bit only while SET_IRQS has enabled it, and no more messages than that', () => {
    const { set, irqs, raised, control, setControl, sent } = setUpControl();
    setControl(0xff);
    assert.equal(control(), 0x8e);
    set(MSI, 0, 3, fds(10, 11, 12));
    setControl(0xff);
    assert.equal(control(), 0xaf, 'three messages are four');
    setControl(0x91);
    assert.deepEqual([sent(1), sent(2)], [1, 0], 'two were allocated');
    const before = raised();
    irqs.raise(3);
    assert.deepEqual(
      [...raised()],
      [before[0], before[1]! + 1, before[2], before[3]],
      'as the second of two',
    );
    assert.equal(irqs.whyLost(3), undefined, 'so it is not lost');
    set(MSI, 1, 1, fds(-1));
    assert.match(irqs.whyLost(3) ?? '', /has no eventfd/);
  });

  it('is as SET_IRQS has enabled it again when the first message gets or loses its eventfd', () => {
    const { set, irqs, raised, setControl } = setUpControl();
    const fourth = () => {
      const before = raised();
      irqs.raise(3);
      return raised().map((count, n) => count - before[n]!);
    };
    set(MSI, 0, 4, fds(10, 11, 12, 13));
    const alone = () => {
      setControl(0x81);
      assert.deepEqual(fourth(), [1, 0, 0, 0]);
    };
    alone();
    set(MSI, 1, 1, fds(11));
    assert.deepEqual(fourth(), [1, 0, 0, 0], 'the second changes nothing');
    set(MSI, 0, 1, fds(10));
    assert.deepEqual(fourth(), [0, 0, 0, 1]);
    alone();
    refused(() => set(MSI, 0, 1, fds(99)), 'EBADF');
    assert.deepEqual(fourth(), [0, 0, 0, 1]);
    setControl(0x81);
    refused(() => set(MSI, 0, 1, fds(99)), 'EBADF');
    assert.deepEqual(fourth(), [0, 0, 0, 0], 'the first, which it is, has no eventfd');
    set(MSI, 0, 1, fds(-1));
    assert.deepEqual(fourth(), [0, 0, 0, 0]);
  });

  it('is looked at by a write that ends where it begins, too', () => {
    const { set, write, at, sent } = setUpControl();
    set(MSI, 0, 1, fds(10));
    write(at, 0);
    assert.equal(sent(), 1);
    write(at, 0, 0);
    assert.equal(sent(), 0);
  });

  it('has address and data beside it, which are kept and go nowhere', () => {
    const { read, write, at, set, sent } = setUpControl();
    const ones = new Array<number>(10).fill(0xff);
    write(at + 4, ...ones);
    assert.deepEqual([...read(at + 4, 10)], ones);
    set(MSI, 0, 1, fds(10));
    assert.equal(sent(), 1);
  });
});
