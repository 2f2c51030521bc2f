import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Registers, Word, whyNotTraceable } from './ptrace.js';

const exact = fc.maxSafeInteger();

test('a register holds any exact number, of either sign, in 64 bits', () => {
  const registers = new Registers();
  fc.assert(
    fc.property(exact, (value) => {
      registers.set(Word.RSI, value);
      const view = new DataView(registers.words.buffer);
      assert.equal(view.getBigInt64(4 * Word.RSI, true), BigInt(value));
      assert.equal(registers.signed(Word.RSI), value);
    }),
  );
});

test('what is added to a register is added in 64 bits, and can be taken away again', () => {
  const registers = new Registers();
  fc.assert(
    fc.property(fc.nat(2 ** 31 - 1), exact, (high, by) => {
      const value = high * 2 ** 16;
      fc.pre(Number.isSafeInteger(value + by));
      registers.set(Word.RBX, value);
      registers.add(Word.RBX, by);
      assert.equal(registers.signed(Word.RBX), value + by);
      registers.add(Word.RBX, -by);
      assert.equal(registers.wide(Word.RBX), value);
    }),
  );
});

test('loads and stores are refused where nobody knows the instructions', () => {
  assert.equal(whyNotTraceable('arm64'), 'the instructions of arm64 are not known');
});
