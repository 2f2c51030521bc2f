import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Word } from '../linux/ptrace.js';
import { decode } from './instruction.js';

const of = (hex: string) => decode(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

test('loads and stores of general registers are done without the processor', () => {
  const ecx = { word: Word.RCX, byte: 0, size: 4 };
  const at = (base: number, displacement: number) => ({ base, index: -1, scale: 1, displacement });
  const address = at(Word.RAX, 4);
  assert.deepEqual(of('8b 48 04'), { kind: 'load', length: 3, address, size: 4, target: ecx, signed: false });
  assert.deepEqual(of('89 48 04'), { kind: 'store', length: 3, address, size: 4, source: ecx });
  const ah = { word: Word.RAX, byte: 1, size: 1 };
  const inRbx = { kind: 'load', length: 2, address: at(Word.RBX, 0), size: 1, target: ah, signed: false };
  assert.deepEqual(of('8a 23'), inRbx);
  const immediate = { kind: 'store', length: 7, address: at(Word.RAX, 0), size: 8, low: -2, high: -1 };
  assert.deepEqual(of('48 c7 00 fe ff ff ff'), immediate);
});

test('a register that is an operand, named or implied, does not move the address', () => {
  const moverOf = (hex: string) => {
    const instruction = of(hex);
    return instruction?.kind === 'step' ? instruction.operands[0]!.mover : undefined;
  };
  assert.equal(moverOf('09 08'), Word.RAX, 'or %ecx, (%rax)');
  assert.equal(moverOf('87 00'), -1, 'xchg %eax, (%rax)');
  assert.equal(moverOf('f7 20'), -1, 'mull (%rax)');
  assert.equal(moverOf('0f c7 0b'), -1, 'cmpxchg8b (%rbx)');
  assert.equal(moverOf('09 04 08'), Word.RCX, 'or %eax, (%rax,%rcx)');
  assert.equal(moverOf('a5'), Word.RDI, 'movsl');
});

test('MOVDIR64B and ENQCMD are known, their source by RIP too', () => {
  const source = { base: Word.RCX, index: -1, scale: 1, displacement: 0 };
  const rest = { kind: 'store64', length: 5, target: Word.RDX, source };
  assert.deepEqual(of('66 0f 38 f8 11'), { ...rest, enqueues: false });
  assert.deepEqual(of('f2 0f 38 f8 11'), { ...rest, enqueues: true });
  const near = { base: Word.RIP, index: -1, scale: 1, displacement: 0x109 };
  const found = of('66 0f 38 f8 15 00 01 00 00');
  assert.deepEqual(found?.kind === 'store64' && found.source, near);
});

test('what accesses no memory, or by a vector of addresses, is not known', () => {
  for (const hex of ['31 c0', '90', '06', 'c4 e2 6d 90 04 08']) assert.equal(of(hex), undefined, hex);
});
