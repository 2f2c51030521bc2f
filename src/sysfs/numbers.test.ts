import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  bitmap,
  bitmapText,
  hexText,
  rangesText,
  signed,
  truth,
  unsigned,
  unsigned32,
  word,
} from './numbers.js';

test('a number is decimal, with one newline at its end at most, and fits into its type', () => {
  for (const [text, value] of [
    ['0', 0n],
    ['7\n', 7n],
    ['+7', 7n],
    ['007', 7n],
    ['18446744073709551615', 2n ** 64n - 1n],
  ] as const)
    assert.equal(unsigned(text), value, text);
  for (const text of [
    '',
    '\n',
    ' 7',
    '7 ',
    '7\n\n',
    '-1',
    '-0',
    '++7',
    '0x7',
    '7a',
    '1e3',
    '18446744073709551616',
  ])
    assert.equal(unsigned(text), undefined, JSON.stringify(text));
  assert.equal(signed('-1\n'), -1);
  assert.equal(signed('-9223372036854775808'), -(2 ** 63));
  for (const text of ['-9223372036854775809', '9223372036854775808', '-', '-+1', '+-1'])
    assert.equal(signed(text), undefined, text);
  assert.equal(unsigned32('4294967295'), 2 ** 32 - 1);
  assert.equal(unsigned32('4294967296'), 'ERANGE');
  assert.equal(unsigned32('-1'), 'EINVAL');
});

test('where the base is open, 0x is hexadecimal and 0 octal', () => {
  assert.equal(unsigned('0x1fF', 0), 0x1ffn);
  assert.equal(unsigned('0X10', 0), 16n);
  assert.equal(unsigned('010', 0), 8n);
  assert.equal(unsigned('0', 0), 0n);
  for (const text of ['08', '0x', '0xg', 'x1', '0o7', '0b1'])
    assert.equal(unsigned(text, 0), undefined, text);
});

test('of a truth only the beginning counts', () => {
  for (const text of ['1', 'y', 'Yes', 'true', 'on', 'On', 'enable', '1garbage'])
    assert.equal(truth(text), true);
  for (const text of ['0', 'n', 'No', 'false', 'off', 'OF', 'disable', '0\n'])
    assert.equal(truth(text), false);
  for (const text of ['', '\n', '2', 'o', 'ox', ' 1', '-1']) assert.equal(truth(text), undefined);
});

test('a word may have one newline at its end', () => {
  const words = ['shared', 'dedicated'] as const;
  assert.equal(word('shared', words), 'shared');
  assert.equal(word('dedicated\n', words), 'dedicated');
  for (const text of ['', 'share', 'shared ', ' shared', 'shared\n\n', 'Shared'])
    assert.equal(word(text, words), undefined);
});

test('a bitmap is read as it is written', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 256n - 1n), (value) => {
      assert.equal(bitmap(`${bitmapText(value, 256)}\n`, 256), value);
    }),
  );
});

test('a bitmap takes short chunks, spaces and commas between them, and nothing at all as 0', () => {
  for (const [text, value] of [
    ['', 0n],
    ['\n', 0n],
    [',, ,', 0n],
    ['7f', 0x7fn],
    ['1,0', 2n ** 32n],
    ['1  0,\n', 2n ** 32n],
    ['0,0,0,0,0,0,0,3027f', 0x3027fn],
    ['1\n2', 1n],
  ] as const)
    assert.equal(bitmap(text, 256), value, JSON.stringify(text));
  for (const text of ['g', '0x1', '1,x', '-1', '1.0']) assert.equal(bitmap(text, 256), 'EINVAL', text);
  for (const text of ['123456789', '0,0,0,0,0,0,0,0,0']) assert.equal(bitmap(text, 256), 'EOVERFLOW', text);
});

test('numbers with a prefix have it for 0 too', () => {
  assert.equal(hexText(0), '0x0');
  assert.equal(hexText(0x100n), '0x100');
});

test('a mask has as many digits as its bits need, and as ranges their numbers', () => {
  for (const [value, bits, mask, ranges] of [
    [0b11n, 2, '3', '0-1'],
    [0b1011n, 12, '00b', '0-1,3'],
    [1n << 32n, 36, '1,00000000', '32'],
    [0n, 64, '00000000,00000000', ''],
  ] as const)
    assert.deepEqual([bitmapText(value, bits), rangesText(value)], [mask, ranges]);
});
