/** Steps on the files of work queues: open, write descriptors, map portals, and what else files are asked. */
import fc from 'fast-check';
import { formatPatch, number, plain, type Value } from '../language.js';
import { UNLIKELY_MS } from '../waits.js';
import { type IdxdScene, type IdxdStep, MEMORY_BYTES } from './scene.js';

const DESCRIPTOR = 64;
const RECORD = 32;
/** Where in the memory records, sources and destinations are. */
const SOURCE = 0x2000;
const DESTINATION = 0x4000;
const SUCCESS_OR_ELSE = 1;

const which = fc.nat(3);
const memory = (plus: number): Value => ({ kind: 'address', name: 'b', plus: BigInt(plus) });

interface Descriptor {
  readonly opcode: number;
  readonly flags: number;
  readonly completion: Value;
  readonly source: Value;
  readonly destination: Value;
  readonly size: number;
  /** Of another process, and privileged. */
  readonly first?: number;
}

export const open: fc.Arbitrary<IdxdStep> = fc.nat(3).map((n) => (scene) => {
  const name = `f${scene.files.length}`;
  scene.add(plain('open', name, `/dev/dsa/wq0.${n % 3}`));
  scene.files.push(name);
});

export const close: fc.Arbitrary<IdxdStep> = which.map((n) => (scene) => {
  const name = scene.file(n);
  scene.add(plain('close', name));
  const at = scene.files.indexOf(name);
  if (at >= 0) scene.files.splice(at, 1);
});

export const dup: fc.Arbitrary<IdxdStep> = which.map((n) => (scene) => {
  const name = `d${scene.lines.length}`;
  scene.add(plain('dup', name, scene.file(n)));
  scene.files.push(name);
});

function write(scene: IdxdScene, n: number, descriptors: readonly Descriptor[], length: number): void {
  const bytes = Buffer.alloc(Math.max(length, descriptors.length * DESCRIPTOR));
  const patches = descriptors.flatMap((each, index) => {
    const at = index * DESCRIPTOR;
    bytes.writeUInt32LE(each.first ?? 0, at);
    bytes.writeUInt32LE(each.flags + each.opcode * 2 ** 24, at + 4);
    bytes.writeUInt32LE(each.size, at + 32);
    const addresses = [each.completion, each.source, each.destination];
    return addresses.map((value, place) => formatPatch({ offset: at + 8 + 8 * place, size: 8, value }));
  });
  const hex = bytes.toString('hex', 0, length);
  // Parts that are not written are no parts of the call.
  const within = patches.filter((patch) => Number(patch.split(':')[0]) + 8 <= length);
  scene.add(plain('write', scene.file(n), hex === '' ? '-' : hex, ...within));
}

/** A completion record that nobody has used, and its place. */
function record(scene: IdxdScene): number {
  const at = (scene.records++ * RECORD) % SOURCE;
  scene.add(plain('fill', 'b', at, '00'.repeat(RECORD)));
  return at;
}

/** A descriptor as it should be, of which the record is waited for. */
export const submit: fc.Arbitrary<IdxdStep> = fc
  .tuple(which, fc.constantFrom(0, 3, 4, 5), fc.constantFrom(1, 64, 4096, 4096), fc.integer(), fc.nat(1))
  .map(([n, opcode, size, fill, more]) => (scene) => {
    const descriptors = Array.from({ length: 1 + more }, () => ({
      opcode,
      flags: 0xc,
      completion: memory(record(scene)),
      source: opcode === 4 ? number(BigInt(fill >>> 0)) : memory(SOURCE),
      destination: opcode === 0 ? number(0) : memory(DESTINATION),
      size: opcode === 0 ? 0 : size,
      // A PASID of nobody, and the privileged bit: the driver's own are taken.
      first: fill % 3 === 0 ? 0x80012345 : 0,
    }));
    if (opcode === 0) for (const each of descriptors) each.source = number(0);
    write(scene, n, descriptors, descriptors.length * DESCRIPTOR);
    for (const { completion } of descriptors) {
      if (completion.kind !== 'address') continue;
      const at = Number(completion.plus);
      scene.add(plain('until', 'b', at, SUCCESS_OR_ELSE, scene.files.length === 0 ? 0 : UNLIKELY_MS));
      scene.add(plain('peek', 'b', at, 16));
    }
    scene.add(plain('peek', 'b', DESTINATION, 16));
  });

/** A length that is not of whole descriptors. */
export const wrongLength: fc.Arbitrary<IdxdStep> = fc
  .tuple(which, fc.constantFrom(0, 1, 32, 63, 65, 100, 127, 128, 130))
  .map(([n, length]) => (scene) => {
    const noop = { opcode: 0, flags: 0, completion: number(0), source: number(0), destination: number(0) };
    write(scene, n, [{ ...noop, size: 0 }], length);
  });

/** A record where none can be, or a batch. */
export const wrongDescriptor: fc.Arbitrary<IdxdStep> = fc
  .tuple(which, fc.constantFrom(1, 8, 16, 24, 31, 33, 48), fc.constantFrom(0, 1, 3), fc.boolean())
  .map(([n, misalignment, opcode, second]) => (scene) => {
    const right = { opcode: 0, flags: 0, completion: number(0), source: number(0), destination: number(0) };
    const wrong = { ...right, opcode, flags: 0xc, completion: memory(misalignment), size: 0 };
    write(scene, n, second ? [{ ...right, size: 0 }, wrong] : [wrong], second ? 2 * DESCRIPTOR : DESCRIPTOR);
  });

export const batch: fc.Arbitrary<IdxdStep> = which.map((n) => (scene) => {
  const at = record(scene);
  const list = { source: memory(SOURCE), destination: number(0), size: 2 };
  write(scene, n, [{ opcode: 1, flags: 0xc, completion: memory(at), ...list }], DESCRIPTOR);
  scene.add(plain('peek', 'b', at, 16));
});

export const map: fc.Arbitrary<IdxdStep> = fc
  .tuple(
    which,
    fc.constantFrom(1, 4096, 4096, 4097, 8192),
    fc.constantFrom(0, 0, 4096, 8192, 0x100000),
    fc.constantFrom('w', 'rw', 'r'),
  )
  .map(([n, length, offset, how]) => (scene) => {
    scene.add(plain('mmap', `m${scene.lines.length}`, scene.file(n), offset, length, how));
  });

/** What the file is asked that it has not. */
export const others: fc.Arbitrary<IdxdStep> = fc.tuple(which, fc.nat(9)).map(([n, what]) => (scene) => {
  const file = scene.file(n);
  const lines = [
    plain('poll', file),
    plain('poll', file),
    plain('read', file, 64),
    plain('read', file, 0),
    plain('pread', file, 0, 64),
    plain('pwrite', file, 0, '00'.repeat(DESCRIPTOR)),
    plain('pwrite', file, 4096, '00'.repeat(DESCRIPTOR)),
    plain('lseek', file, 64, 0),
    plain('fsync', file),
    plain('truncate', file, 64),
  ];
  scene.add(lines[what]!);
});

/** What is at an address that the memory has not: a fault of the device, told in the record. */
export const hole: fc.Arbitrary<IdxdStep> = which.map((n) => (scene) => {
  const at = record(scene);
  const [source, destination] = [memory(SOURCE), memory(MEMORY_BYTES + 0x1000)];
  const move = { opcode: 3, flags: 0xc, completion: memory(at), source, destination, size: 64 };
  write(scene, n, [move], DESCRIPTOR);
  if (scene.files.length > 0) scene.add(plain('until', 'b', at, 0x83, UNLIKELY_MS));
  scene.add(plain('peek', 'b', at, 8));
});
