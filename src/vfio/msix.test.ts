import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { capability, fds, NONE, setUpIrqs } from '../testkit/irq-set-up.js';
import { refused } from '../testkit/refused.js';
import { MSIX } from './irq-request.js';

/** The table and the pending bits of the function, in its BAR. */
const TABLE = 0x2000;
const PBA = 0x3000;

describe('MSI-X', () => {
  it('raises the eventfd of the vector; before it is enabled nothing is sent, or held', () => {
    const { irqs, set, raised } = setUpIrqs();
    irqs.raise(1);
    set(MSIX, 1, 3, fds(11, -1, 13));
    for (const vector of [0, 1, 2, 3, 99]) irqs.raise(vector);
    assert.deepEqual(raised(), [0, 1, 0, 1]);
  });

  it('takes more vectors while it is enabled, and gives single ones back', () => {
    const { irqs, set, raised, caller } = setUpIrqs();
    set(MSIX, 0, 1, fds(10));
    set(MSIX, 8, 1, fds(11));
    set(MSIX, 0, 1, fds(-1));
    for (const vector of [0, 8]) irqs.raise(vector);
    assert.deepEqual(raised(), [0, 1, 0, 0]);
    assert.equal(caller.openSignals, 1);
  });

  it('holds a vector without eventfd in the PBA until it has one, or the device is reset', () => {
    const { irqs, set, raised } = setUpIrqs();
    const pending = () => {
      const pba = new Uint8Array(8);
      irqs.msix!.read(PBA, pba, false);
      return pba[0];
    };
    set(MSIX, 0, 1, fds(10));
    for (const vector of [0, 1, 1, 2]) irqs.raise(vector);
    assert.deepEqual([raised(), pending()], [[1, 0, 0, 0], 0b110]);
    set(MSIX, 1, 1, fds(11));
    assert.deepEqual([raised(), pending()], [[1, 1, 0, 0], 0b100]);
    set(MSIX, 0, 0, NONE);
    set(MSIX, 0, 3, fds(-1, -1, 12));
    assert.deepEqual([raised(), pending()], [[1, 1, 1, 0], 0]);
    irqs.raise(0);
    irqs.deviceReset();
    assert.equal(pending(), 0);
  });

  it('shows what is pending to reads of 4 and 8 bytes alone', () => {
    const { irqs, set } = setUpIrqs();
    set(MSIX, 0, 1, fds(10));
    irqs.raise(1);
    const shown = [1, 2, 4, 8].map((width) => {
      const target = new Uint8Array(width).fill(0xff);
      irqs.msix!.read(PBA, target, false);
      return target;
    });
    assert.deepEqual(
      shown.map(([first]) => first),
      [0, 0, 0b10, 0b10],
    );
    for (const target of shown) assert.ok(target.subarray(1).every((byte) => byte === 0));
  });

  it('is lost while bus mastering is off, because it is a memory write', () => {
    const { irqs, set, raised, command } = setUpIrqs();
    set(MSIX, 0, 1, fds(10));
    command({ master: false });
    irqs.raise(0);
    command({});
    assert.equal(raised()[0], 0);
    irqs.raise(0);
    assert.equal(raised()[0], 1);
  });

  it('shows ones for its table, which belongs to the host', () => {
    const { irqs } = setUpIrqs();
    const entry = new Uint8Array(16);
    irqs.msix!.read(TABLE + 16, entry, false);
    assert.ok(entry.every((byte) => byte === 0xff));
  });

  it('shows its entries to a mapping: the message of a vector with an eventfd; all others are masked', () => {
    const { irqs, set } = setUpIrqs();
    const entry = (vector: number) => {
      const words = new Uint32Array(4);
      irqs.msix!.read(TABLE + 16 * vector, new Uint8Array(words.buffer), true);
      return [...words];
    };
    const masked = [0, 0, 0, 1];
    assert.deepEqual([0, 1, 8].map(entry), [masked, masked, masked]);
    set(MSIX, 1, 1, fds(10));
    assert.deepEqual([0, 1, 8].map(entry), [masked, [0xfee00000, 0, 1, 0], masked]);
    const control = new Uint8Array(2);
    irqs.msix!.read(TABLE + 16 + 8, control, true);
    assert.deepEqual([...control], [1, 0]);
    set(MSIX, 0, 0, NONE);
    assert.deepEqual(entry(1), masked);
  });

  it('is disabled as a whole by count 0, which closes all eventfds and clears its enable bit', () => {
    const parts = setUpIrqs();
    const { irqs, set, caller, raised } = parts;
    const enabled = () => (parts.word(capability(parts, 0x11) + 2) & 0x8000) !== 0;
    set(MSIX, 0, 2, fds(10, 11));
    assert.equal(enabled(), true);
    set(MSIX, 0, 0, NONE);
    assert.equal(enabled(), false);
    irqs.raise(0);
    assert.deepEqual([raised(), caller.openSignals], [[0, 0, 0, 0], 0]);
    refused(() => set(MSIX, 0, 0, NONE), 'EINVAL');
  });
});
