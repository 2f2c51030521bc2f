/**
 * What can be wrong with any call: a field, the size, the bytes after the struct, the struct's own address,
 * the descriptor.
 */
import fc from 'fast-check';
import { address, type IoctlLine, number } from './language.js';
import { fieldsOf, withField } from './layouts.js';
import { edges64, which } from './numbers.js';

/** Numbers of calls that name descriptors. */
const SET_CONTAINER = 0x68;
const BIND = 0x76;
const MAP_FILE = 0x8f;

export type Spoil = (line: IoctlLine) => IoctlLine;

/** Makes one thing wrong with a call. */
export const spoil: fc.Arbitrary<Spoil> = fc.oneof(
  fc.tuple(which, edges64).map(([n, value]) => (line: IoctlLine) => {
    const fields = fieldsOf(line).filter(({ name }) => name !== 'op');
    const field = fields[n % Math.max(1, fields.length)];
    return field === undefined || spared(line, field.name) ? line : withField(line, field, value);
  }),
  fc.constantFrom(-8, -4, -1, 1, 4, 8, 256, 4096, 100000).map((more) => (line: IoctlLine) => {
    const size = whole(line, Math.max(0, line.bytes.length + more));
    return fieldsOf(line)[0]?.name === 'size' ? withField(line, { offset: 0, size: 4 }, size) : line;
  }),
  fc.nat(7).map((n) => (line: IoctlLine) => longer(line, n === 0 ? 0 : 1)),
  fc
    .constantFrom(number(0), number(1), address('s', 0xffc), address('s', 0xff8), number((1n << 64n) - 1n))
    .map((argument) => (line: IoctlLine) => {
      const kept = namesDescriptor(line) || line.saves.some(({ size }) => size === 'fd');
      return fieldsOf(line).length === 0 || kept ? line : { ...line, address: argument };
    }),
  fc.constantFrom('m', 'closed').map((fd) => (line: IoctlLine) => ({ ...line, fd })),
);

/** Is its struct a descriptor and no more? Any other bytes may be one that only one side has. */
const namesDescriptor = (line: IoctlLine) => (line.cmd & 0xff) === SET_CONTAINER;

/**
 * Fields that would make the kernel's test interface allocate all its memory, or make one of its own checks
 * fail; descriptors that only one side has.
 */
function spared(line: IoctlLine, field: string): boolean {
  const cmd = line.cmd & 0xff;
  return (
    (cmd === 0xa0 &&
      (field === 'id' ||
        field === 'pasid' ||
        field === 'flags' ||
        field === 'length' ||
        field === 'page_size')) ||
    (cmd === MAP_FILE && field === 'fd') ||
    (cmd === BIND && field === 'iommufd') ||
    namesDescriptor(line) ||
    cmd === 0x80
  );
}

/**
 * The most of `size` bytes that cuts no field in two: half an address may be a good one on one side and not
 * on the other.
 */
function whole(line: IoctlLine, size: number): number {
  return (
    fieldsOf(line).find((field) => field.size === 8 && field.offset < size && size < field.offset + 8)
      ?.offset ?? size
  );
}

function longer(line: IoctlLine, last: number): IoctlLine {
  if (fieldsOf(line)[0]?.name !== 'size') return line;
  const bytes = new Uint8Array(line.bytes.length + 8);
  bytes.set(line.bytes);
  bytes[bytes.length - 1] = last;
  return withField({ ...line, bytes }, { offset: 0, size: 4 }, bytes.length);
}
