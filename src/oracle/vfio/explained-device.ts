/**
 * Where device files, groups and containers are meant to differ from real vfio-pci and type1, but for
 * interrupts; docs/differences.md tells them to people.
 */
import { type Difference, type Explained, result } from '../compare.js';
import { fromHex, type IoctlLine, type Line, parseValue, type Value } from '../language.js';
import { fieldOf, fieldValue, layoutOf } from '../layouts.js';
import type { CapabilityName } from './machine.js';
import { CONFIG, deviceOf, placeText } from './scene.js';

const REGION_MMAP = 4;
const REGION_CAPS = 8;
const DMA_CC_IOMMU = 4n;
const FLAG_VADDR = 4;
const BIND_IOMMUFD = 0x3b76;
const ROCKER_REGISTERS = 0x38n;
/** What a program that begins alike everywhere writes first: an address of a BAR. */
const FIRST_SETTLED = placeText(CONFIG + 0x10n);

/** Of any file that has no offset on Linux. */
export const offsetMoves: Explained = {
  name: 'the offset of a file',
  reason: 'a FUSE file without offsets has no pread either, so lseek moves the offset of every file',
  matches: ({ line, kernel }) => line.verb === 'lseek' && kernel === 'ESPIPE',
};

export const explainedOfDevices: readonly Explained[] = [
  {
    name: 'BARs that can be mapped',
    reason: 'whoever maps a BAR is traced; in one process nobody is, so GET_REGION_INFO offers it of none',
    goesOn: true,
    matches: ({ line, kernel, ours }) =>
      isCall(line, 'VFIO_DEVICE_GET_REGION_INFO') &&
      Number(field(line, 'index') ?? 0) < 6 &&
      withoutMapping(image(kernel)) === text(image(ours)),
  },
  {
    name: 'a kernel without cdevs',
    reason: "BIND_IOMMUFD of a group's device is EINVAL where there are cdevs; the oracle's kernel has none",
    goesOn: true,
    matches: ({ line, kernel, ours }) =>
      line.verb === 'ioctl' && line.cmd === BIND_IOMMUFD && kernel === 'ENOTTY' && ours === 'EINVAL',
  },
  {
    name: 'coherence of DMA',
    reason: 'the IOMMU that QEMU emulates does not say that it keeps DMA coherent; DMA here always is',
    goesOn: true,
    matches: ({ line, kernel, ours }) => asksFor(line, DMA_CC_IOMMU) && kernel === '0' && ours === '1',
  },
  {
    name: 'a new address without memory',
    reason: 'Linux reaches the pages that it has pinned; here the new address is where the memory is',
    matches: ({ line, kernel, ours }) =>
      isCall(line, 'VFIO_IOMMU_MAP_DMA') &&
      Number(field(line, 'flags')) === FLAG_VADDR &&
      result(kernel) === '0' &&
      ours === 'EFAULT',
  },
  {
    name: 'clean pages beside a mapping',
    reason: 'Linux keeps bits of a mapping where an earlier bitmap had them, and shows them in the next',
    goesOn: true,
    matches: ({ line, kernel, ours }) =>
      line.verb === 'peek' && line.words[0] === 's' && hasAllBits(kernel, ours),
  },
  {
    name: 'the link of an integrated endpoint',
    reason: 'a root complex integrated endpoint has no link; the nvme of QEMU tells of one of 2.5 GT/s',
    goesOn: true,
    matches: (difference) =>
      deviceOf(difference.before)?.bus === undefined &&
      differsOnly(difference, (place) => inCapability(place, 'exp', 0x0c, 0x14)),
  },
  {
    name: 'bytes of configuration space that are of no capability',
    reason: 'QEMU keeps what is written there; a function has nothing there',
    goesOn: true,
    matches: (difference) =>
      differsOnly(difference, device(difference) === 'nvme' ? isAtTheEnd : isUnassigned),
  },
  {
    name: 'registers that are kept from one program to the next',
    reason: 'a device without reset has what the program before has left; here a close resets it',
    goesOn: true,
    matches: (difference) =>
      (device(difference) === 'edu' &&
        !difference.before.some(({ verb }) => verb === 'await') &&
        differsOnly(difference, ({ name, at }) => name === undefined && at >= 0x98n && at < 0xa0n)) ||
      (keepsRegisters(difference) &&
        differsOnly(difference, ({ name, at }) => name === undefined && at < ROCKER_REGISTERS)),
  },
];

/** Of calls on real files, which FUSE stands before (`--served`). */
export const explainedOfFiles: readonly Explained[] = [
  {
    name: 'mappings of files',
    reason: 'FUSE grants a private mapping, which faults; a shared one of a file that has no BAR is ENODEV',
    goesOn: true,
    matches: ({ line, kernel, ours }) =>
      line.verb === 'mmap' &&
      ['0', 'EINVAL', 'ENODEV'].includes(kernel) &&
      ours === (line.words[4]!.includes('p') ? '0' : 'ENODEV'),
  },
  offsetMoves,
  {
    name: 'parts of a transfer',
    reason: 'vfio-pci is asked for one after the other; here nobody asks for those of 4 bytes',
    goesOn: true,
    matches: ({ line }) => isSmallInParts(line),
  },
];

/** Is it a preadv of parts that nobody is asked about? */
function isSmallInParts(line: Line): boolean {
  if (line.verb !== 'preadv') return false;
  const lengths = line.words.slice(2).map(Number);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  return lengths.filter((length) => length > 0).length > 1 && total <= 4;
}

/** A byte of a device file: at an offset of the file, or in a capability. */
interface Place {
  readonly name: string | undefined;
  readonly at: bigint;
}

/** Do the bytes that were read differ, and only where `meant` says so? */
function differsOnly({ line, kernel, ours }: Difference, meant: (place: Place) => boolean): boolean {
  if ((line.verb !== 'pread' && line.verb !== 'preadv') || result(kernel) !== result(ours)) return false;
  const start = parseValue(line.words[1]!);
  const [theirs = '', mine = ''] = [kernel.split(' ')[1], ours.split(' ')[1]];
  const mineBytes = fromHex(mine);
  return [...fromHex(theirs)].every((byte, n) => byte === mineBytes[n] || meant(placeOf(start, n)));
}

function placeOf(start: Value, n: number): Place {
  if (start.kind === 'number') return { name: undefined, at: start.value + BigInt(n) };
  if (start.kind === 'saved') return { name: start.name, at: start.plus + BigInt(n) };
  throw new Error('a device file is read at an offset or in a capability');
}

/** A rocker on the root bus, of which the program has not begun by writing its registers. */
function keepsRegisters({ before, answers }: Difference): boolean {
  const { name, bus } = deviceOf(before) ?? {};
  const settled = before.some(
    (line, n) => line.verb === 'pwrite' && line.words[1] === FIRST_SETTLED && answers[n] === '4',
  );
  return name === 'rocker' && bus === undefined && !settled;
}

function inCapability({ name, at }: Place, capability: CapabilityName, start: number, end: number): boolean {
  return name === capability && at >= start && at < end;
}

/** The end of extended space, where nvme has nothing. */
function isAtTheEnd({ name, at }: Place): boolean {
  return name === undefined && at >= CONFIG + 0xff0n && at < CONFIG + 0x1000n;
}

/** edu and rocker have one capability, behind the header. */
function isUnassigned(place: Place): boolean {
  const [msi, msix] = [14, 12];
  if (place.name === undefined)
    return place.at >= CONFIG + 0x40n + BigInt(msix) && place.at < CONFIG + 0x100n;
  return inCapability(place, 'msi', msi, 0xc0) || inCapability(place, 'msix', msix, 0xc0);
}

function device({ before }: Difference): string | undefined {
  return deviceOf(before)?.name;
}

function isCall(line: Line, name: string): line is IoctlLine {
  return line.verb === 'ioctl' && layoutOf(line)?.name === name;
}

function field(line: IoctlLine, name: string): bigint | undefined {
  const value = fieldValue(line, fieldOf(layoutOf(line)!, name));
  return value === undefined ? 0n : value.kind === 'number' ? value.value : undefined;
}

function asksFor(line: Line, extension: bigint): boolean {
  const { address } = isCall(line, 'VFIO_CHECK_EXTENSION') ? line : {};
  return address?.kind === 'number' && address.value === extension;
}

/** What a call has changed in its struct, by words of 32 bits; undefined when it was refused. */
type Image = ReadonlyMap<number, number> | undefined;

function image(answer: string): Image {
  if (result(answer) !== '0') return undefined;
  const runs = [...answer.matchAll(/ \+(\d+)=([0-9a-f]+)/g)];
  return new Map(
    runs.flatMap(([, at, hex]) => {
      const bytes = Buffer.from(hex!, 'hex');
      return Array.from({ length: bytes.length / 4 }, (_, n): [number, number] => [
        Number(at) + 4 * n,
        bytes.readUInt32LE(4 * n),
      ]);
    }),
  );
}

function text(words: Image): string | undefined {
  return words === undefined ? undefined : JSON.stringify([...words].sort(([a], [b]) => a - b));
}

/** GET_REGION_INFO without what it says of mapping. */
function withoutMapping(words: Image): string | undefined {
  const rest = new Map(words);
  const flags = rest.get(4) ?? 0;
  rest.set(4, flags & ~(REGION_MMAP | REGION_CAPS));
  if ((flags & REGION_CAPS) !== 0) for (const at of [0, 12]) rest.delete(at);
  return words === undefined ? undefined : text(rest);
}

/** Are all bits of `fewer` set in `more`, both in hex? */
function hasAllBits(more: string, fewer: string): boolean {
  const theirs = fromHex(more);
  return theirs.length > 0 && fromHex(fewer).every((byte, n) => (byte & ~theirs[n]!) === 0);
}
