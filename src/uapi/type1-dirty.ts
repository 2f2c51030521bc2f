/**
 * The log of dirty pages of a type1 container: VFIO_IOMMU_DIRTY_PAGES, and UNMAP_DMA with GET_DIRTY_BITMAP.
 *
 * What the log has of each mapping goes into the caller's bitmap as whole words of 64 pages, one after the
 * other, as in Linux: the pages of the first word that lie below the mapping stay as they are in it, all
 * others that the mapping does not have are clean.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { after, begun, type Sliced, type Work } from '../file/work.js';
import type { IovaRange } from '../ioasid/iova-ranges.js';
import { hex, refuse } from '../linux/errno.js';
import { lastOf, type Type1Container } from '../vfio/type1-container.js';
import { bits, getBig, getU32, struct, u32, u64 } from './struct.js';
import { readStruct } from './vfio-call.js';
import { type DmaUnmap, UNMAP_FLAG_ALL, UNMAP_VADDR, UnmapDmaStruct } from './vfio-container.js';

const START = 1;
const STOP = 2;
const GET_BITMAP = 4;

const BitmapStruct = struct('vfio_bitmap', { pgsize: u64, size: u64, data: u64 });
/** With what GET_BITMAP has behind the flags, up to the bitmap's own struct. */
export const DirtyPagesStruct = struct('vfio_iommu_type1_dirty_bitmap', {
  argsz: u32,
  flags: bits({
    VFIO_IOMMU_DIRTY_PAGES_FLAG_START: START,
    VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP: STOP,
    VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP: GET_BITMAP,
  }),
  iova: u64,
  size: u64,
});
/** Of START and STOP. */
const HEAD = DirtyPagesStruct.at.iova;

/** Of 2^31 pages. */
export const MAX_BITMAP_BYTES = 1n << 28n;
/** Addresses of a process end here (x86-64 with four levels). */
const USER_END = 0x7fff_ffff_f000n;
const WORD_PAGES = 64;
/** Bytes that are stored before others have their turn. */
const CHUNK = 0x10000;

/** A bitmap in the caller's memory. Bytes. */
interface Bitmap {
  readonly pageSize: bigint;
  readonly address: number;
}

export function dirtyPages(container: Type1Container, caller: Caller, call: IoctlCall): Sliced<number> {
  container.checkHasLog();
  const flags = getU32(readStruct(caller, call, HEAD), DirtyPagesStruct.at.flags);
  switch (flags) {
    case START:
      return after(begun(container.startLog()), () => 0);
    case STOP:
      container.stopLog();
      return 0;
    case GET_BITMAP:
      return getBitmap(container, caller, call);
    default:
      return refuse('EINVAL', `flags ${hex(flags)} are not one of START, STOP and GET_BITMAP`);
  }
}

function* getBitmap(container: Type1Container, caller: Caller, call: IoctlCall): Work<number> {
  const { at, size } = DirtyPagesStruct;
  const data = readStruct(caller, call, size + BitmapStruct.size);
  const [iova, length] = [getBig(data, at.iova), getBig(data, at.size)];
  lastOf(iova, length);
  const bitmap = checkBitmap(data.subarray(size), length);
  yield* storeDirty(caller, bitmap, iova, container.dirty(iova, length, bitmap.pageSize));
  return 0;
}

/**
 * The bitmap behind the struct of UNMAP_DMA.
 * @throws Refusal EINVAL for flags that exclude one, a struct without one, and as checkBitmap; EFAULT.
 */
export function readUnmapBitmap(caller: Caller, call: IoctlCall, { flags, length }: DmaUnmap): Bitmap {
  if (flags & (UNMAP_FLAG_ALL | UNMAP_VADDR))
    refuse('EINVAL', `flags ${hex(flags)}: there is a bitmap only of a range that is unmapped`);
  const { size } = UnmapDmaStruct;
  return checkBitmap(readStruct(caller, call, size + BitmapStruct.size).subarray(size), length);
}

/** @throws Refusal EINVAL when it is not memory of a process, too small for `length` bytes, or too large. */
function checkBitmap(data: Uint8Array, length: bigint): Bitmap {
  const { pgsize, size, data: address } = BitmapStruct.decode(data);
  if (address + size > USER_END) refuse('EINVAL', `${hex(address)}+${hex(size)} is no memory of a process`);
  const pages = pgsize === 0n ? length : length / (pgsize & -pgsize);
  if (pages === 0n || size > MAX_BITMAP_BYTES || size < ((pages + 63n) / 64n) * 8n)
    refuse('EINVAL', `a bitmap of ${size} bytes is not one for ${pages} pages`);
  return { pageSize: pgsize, address: Number(address) };
}

/** Stores that all of `dirty` is; the first bit is of the page at `iova`. @throws Refusal EFAULT. */
export function* storeDirty(
  caller: Caller,
  { address, pageSize }: Bitmap,
  iova: bigint,
  dirty: Iterable<IovaRange>,
): Work<void> {
  for (const { start, last } of dirty) {
    const first = Number((start - iova) / pageSize);
    const count = Number((last + 1n - start) / pageSize);
    yield* storeOnes(caller, address + Math.floor(first / WORD_PAGES) * 8, first % WORD_PAGES, count);
    yield;
  }
}

/** Stores the words at `address` of which `count` bits from bit `shift` on are ones. */
function* storeOnes(caller: Caller, address: number, shift: number, count: number): Work<void> {
  const bytes = Math.ceil((shift + count) / WORD_PAGES) * 8;
  for (let at = 0; at < bytes; at += CHUNK) {
    const part = new Uint8Array(Math.min(CHUNK, bytes - at));
    if (at === 0 && shift > 0) caller.readMemory(address, part.subarray(0, 8));
    clearFrom(part, at === 0 ? shift : 0);
    fillOnes(part, at === 0 ? shift : 0, Math.min(shift + count - 8 * at, 8 * part.length));
    caller.writeMemory(address + at, part);
    yield;
  }
}

/** Clears the bits from bit `first` on. */
function clearFrom(bytes: Uint8Array, first: number): void {
  bytes[first >>> 3]! &= (1 << (first & 7)) - 1;
  bytes.fill(0, (first >>> 3) + 1);
}

/** Sets bits `first` to `end` - 1. */
function fillOnes(bytes: Uint8Array, first: number, end: number): void {
  const last = end - 1;
  const [head, tail] = [(0xff << (first & 7)) & 0xff, 0xff >>> (7 - (last & 7))];
  if (first >>> 3 === last >>> 3) {
    bytes[first >>> 3]! |= head & tail;
    return;
  }
  bytes[first >>> 3]! |= head;
  bytes.fill(0xff, (first >>> 3) + 1, last >>> 3);
  bytes[last >>> 3]! |= tail;
}
