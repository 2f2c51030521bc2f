/** Inputs made of inputs: bytes changed, put in, left out, and taken from another. */
import type { Random } from '../random.js';

const LONGEST = 4096;
/** Names of files, which no chance comes to. */
const WORDS = ['ioasid\0', 'iommu\0', 'vfio\0', 'devices\0', 'vfio0\0'].map((word) => [...Buffer.from(word)]);
const TELLING = [0, 1, 2, 3, 4, 7, 8, 0x10, 0x20, 0x3b, 0x40, 0x7f, 0x80, 0xff];

/** One to eight changes of `input`, with pieces of `other`. */
export function mutated(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes = [...input];
  for (let changes = 1 + random.below(8); changes > 0; changes--) bytes = change(bytes, other, random);
  return Uint8Array.from(bytes.slice(0, LONGEST));
}

function change(bytes: number[], other: Uint8Array, random: Random): number[] {
  const at = random.below(bytes.length + 1);
  const length = 1 + random.below(random.pick([1, 4, 8, 64]));
  switch (random.below(7)) {
    case 0:
      return bytes.toSpliced(at, 1, random.below(256));
    case 1:
      return bytes.toSpliced(at, 1, random.pick(TELLING));
    case 2:
      return bytes.toSpliced(at, length);
    case 3:
      return bytes.toSpliced(at, 0, ...random.bytes(length));
    case 4:
      return bytes.toSpliced(at, 0, ...bytes.slice(at, at + length));
    case 5:
      return bytes.toSpliced(at, 0, ...random.pick(WORDS));
    default: {
      const from = random.below(other.length + 1);
      return bytes.toSpliced(at, random.below(2) * length, ...other.slice(from, from + length));
    }
  }
}
