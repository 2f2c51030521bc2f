/**
 * The areas of an address space (the kernel's VMAs): stretches of memory with equal rights and one file
 * behind them.
 *
 * The kernel is asked about one address at a time (PROCMAP_QUERY on an open /proc/PID/maps, which is bound to
 * the address space); before Linux 6.11 the text of /proc/TID/maps is read. A process may have as many areas
 * as it likes (60,000 take 50 ms), so both go in slices.
 */
import { Errno, Refusal, refuse } from './errno.js';
import { addressOf, libc } from './ffi.js';
import { fileIdentity } from './file-status.js';
import { deviceNumber } from './mount-tables.js';
import { gone } from './proc.js';
import { type Maps, ownMaps } from './reach.js';

const O_RDONLY = 0;
const O_CLOEXEC = 0o2000000;

const READ = 1;
const WRITE = 2;

const QUERY_SIZE = 104;
const VMA_READABLE = 1;
const VMA_WRITABLE = 2;
const VMA_SHARED = 8;

/**
 * struct procmap_query as 32-bit words: size 0, flags 2, address 4, start 6, end 8, rights 10, offset 14,
 * inode 16, major 18, minor 19.
 */
const query = new Uint32Array(32);
const queryBytes = new Uint8Array(query.buffer);

/** An area of a file. */
export type SharedArea = Area & { readonly shared: NonNullable<Area['shared']> };

/** A piece of the text. */
const page = Buffer.alloc(4096);

/** [start, end) with equal rights. */
export interface Area {
  readonly start: number;
  readonly end: number;
  /** 1 readable, 2 writable. */
  readonly rights: number;
  /** The device of the mapped file; -1 for anonymous memory. */
  readonly device: number;
  /**
   * The file of a shared mapping as FileStatus.identity names it, and its byte that `start` is; undefined for
   * memory of the process's own.
   */
  readonly shared: { readonly identity: string; readonly offset: number } | undefined;
}

/** PROCMAP_QUERY_VMA_READABLE | SHARED, COVERING_OR_NEXT_VMA, FILE_BACKED_VMA. */
const NEXT_OF_SHARED_FILE = 0x39;
/** Areas of shared files, and pages of the text, that are looked at for one in particular. */
const MOST_AREAS = 256;
const MOST_PAGES = 64;

/**
 * The areas of thread `tid`'s process one by one, from that which contains `address` up to the first gap;
 * undefined where others may be served before the next one. A process changes its areas when it likes, also
 * in between.
 * @param maps an open /proc/TID/maps
 * @throws Refusal ESRCH the process has exited; EFAULT its memory does not answer.
 */
export function* areasFrom(tid: number, maps: Maps, address: number): Generator<Area | undefined> {
  let at = address;
  for (let looked = 1; ; looked++) {
    const errno = ask(maps, at);
    if (errno === Errno.ENOENT) return;
    if (errno === Errno.ESRCH) throw gone(tid);
    if (maps.shortfall !== undefined) refuse('EFAULT', maps.shortfall);
    if (errno !== 0) return yield* areasInTextFrom(maps, at);
    const area = decodeQuery();
    yield area;
    at = area.end;
    if (looked % maps.perSlice === 0) yield undefined;
  }
}

/** The same out of the text, before Linux 6.11. */
export function* areasInTextFrom(maps: Maps, address: number): Generator<Area | undefined> {
  let at = address;
  for (const area of allInText(maps)) {
    if (area === undefined) yield undefined;
    else if (area.end > at) {
      if (area.start > at) return;
      yield area;
      at = area.end;
    }
  }
}

/** All areas, and undefined after each piece of the text that the kernel gives, about a page. */
function* allInText(maps: Maps): Generator<Area | undefined> {
  let text = '';
  for (let position = 0; ; ) {
    const bytes = maps.text(page, position);
    if (maps.shortfall !== undefined) refuse('EFAULT', maps.shortfall);
    if (bytes <= 0) return;
    position += bytes;
    text += page.toString('latin1', 0, bytes);
    const whole = text.lastIndexOf('\n') + 1;
    yield* areasInText(text.slice(0, whole));
    text = text.slice(whole);
    yield undefined;
  }
}

/** The area that contains `address`; undefined when nothing is mapped there. @throws as `areasFrom`. */
export function* areaAt(
  tid: number,
  maps: Maps,
  address: number,
): Generator<undefined, Area | undefined, unknown> {
  for (const area of areasFrom(tid, maps, address)) {
    if (area !== undefined) return area;
    yield;
  }
  return undefined;
}

/**
 * A readable area of shared memory in which byte `offset` of the file with this identity is; undefined when
 * there is none, or it is not found within a few milliseconds. @throws Refusal ESRCH.
 */
export function areaOfFile(maps: Maps, identity: string, offset: number): SharedArea | undefined {
  for (const area of sharedFiles(maps)) {
    const from = area.shared.offset;
    const fits = (area.rights & READ) !== 0 && from <= offset && offset - from < area.end - area.start;
    if (fits && area.shared.identity === identity) return area;
  }
  return undefined;
}

/** The areas of shared files, as far as there is time for. */
function* sharedFiles(maps: Maps): Generator<SharedArea> {
  let at = 0;
  for (let looked = 0; looked < MOST_AREAS; looked++) {
    const errno = ask(maps, at, NEXT_OF_SHARED_FILE);
    if (errno === Errno.ENOENT || errno === Errno.ESRCH || errno === Errno.ETIMEDOUT) return;
    if (errno !== 0) return yield* sharedFilesInText(maps);
    const area = decodeQuery();
    if (isShared(area)) yield area;
    at = area.end;
  }
}

function* sharedFilesInText(maps: Maps): Generator<SharedArea> {
  let pages = 0;
  for (const area of allInText(maps)) {
    if (area === undefined && ++pages === MOST_PAGES) return;
    if (area !== undefined && isShared(area)) yield area;
  }
}

function isShared(area: Area): area is SharedArea {
  return area.shared !== undefined;
}

/** What `areaNow` says of an area: as in Area, its bounds, its rights and its device. */
export interface AreaNow {
  start: number;
  end: number;
  rights: number;
  device: number;
}

/**
 * Asks for the area that contains `address`, at once and without making anything. @returns false when there
 * is none, or the address space of `maps` is gone.
 */
export function areaNow(maps: Maps, address: number, area: AreaNow): boolean {
  const errno = ask(maps, address);
  if (errno !== 0) return errno === Errno.ENOTTY && areaInText(maps, address, area);
  const flags = query[10]!;
  area.start = wide(6);
  area.end = wide(8);
  area.rights = rightsOf(flags);
  area.device = (query[16]! | query[17]!) === 0 ? -1 : deviceNumber(query[18]!, query[19]!);
  return true;
}

/** The same out of the text, before Linux 6.11. */
export function areaInText(maps: Maps, address: number, area: AreaNow): boolean {
  try {
    for (const each of areasInTextFrom(maps, address)) {
      if (each === undefined) continue;
      const { start, end, rights, device } = each;
      Object.assign(area, { start, end, rights, device });
      return true;
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
  return false;
}

/** A byte of a file that is mapped shared. */
export interface MappedByte {
  /** As `deviceNumber` makes it. */
  readonly device: number;
  readonly inode: number;
  readonly offset: number;
  /** Bytes that are mapped from it on. */
  readonly length: number;
  /** As in Area. */
  readonly rights: number;
}

/** Does the kernel answer questions about one address? */
export function answersMappedBytes(): boolean {
  const maps = libc().open('/proc/self/maps', O_RDONLY | O_CLOEXEC, 0);
  if (maps === -1) return false;
  const errno = ask(ownMaps(maps), addressOf(page));
  libc().close(maps);
  return errno === 0;
}

/**
 * What is mapped at `address`, by one question; undefined when it is no file, or not shared, or the kernel
 * does not answer (before Linux 6.11).
 */
export function mappedByte(maps: Maps, address: number): MappedByte | undefined {
  if (ask(maps, address) !== 0 || (query[10]! & VMA_SHARED) === 0) return undefined;
  return {
    device: deviceNumber(query[18]!, query[19]!),
    inode: wide(16),
    offset: wide(14) + address - wide(6),
    length: wide(8) - address,
    rights: rightsOf(query[10]!),
  };
}

/** The area that contains `address`; undefined when there is none, or the kernel does not answer. */
export function areaWith(maps: Maps, address: number): Area | undefined {
  return ask(maps, address) === 0 ? decodeQuery() : undefined;
}

/** Asks for the area that contains `address`, or as `flags` say: 0, or an errno, ENOENT if there is none. */
function ask(maps: Maps, address: number, flags = 0): number {
  query.fill(0);
  query[0] = QUERY_SIZE;
  query[2] = flags;
  query[4] = address >>> 0;
  query[5] = address / 2 ** 32;
  return maps.ask(queryBytes);
}

function decodeQuery(): Area {
  const flags = query[10]!;
  const file = query[16] !== 0 || query[17] !== 0;
  const device = file ? deviceNumber(query[18]!, query[19]!) : -1;
  return {
    start: wide(6),
    end: wide(8),
    rights: rightsOf(flags),
    device,
    shared:
      file && flags & VMA_SHARED
        ? { identity: fileIdentity(device, query[17]!, query[16]!), offset: wide(14) }
        : undefined,
  };
}

function rightsOf(flags: number): number {
  return (flags & VMA_READABLE ? READ : 0) | (flags & VMA_WRITABLE ? WRITE : 0);
}

function wide(at: number): number {
  return query[at]! + query[at + 1]! * 2 ** 32;
}

/**
 * The areas in a text as /proc/PID/maps has it: `start-end rwxp offset major:minor inode path`
 * (proc_pid_maps(5)).
 */
export function areasInText(text: string): Area[] {
  const areas: Area[] = [];
  for (const [, start, end, r, w, kind, offset, major, minor, inode] of text.matchAll(
    /^(\w+)-(\w+) (.)(.).(.) (\w+) (\w+):(\w+) (\d+)/gm,
  )) {
    const device =
      inode === '0' ? -1 : deviceNumber(Number.parseInt(major!, 16), Number.parseInt(minor!, 16));
    areas.push({
      start: Number.parseInt(start!, 16),
      end: Number.parseInt(end!, 16),
      rights: (r === 'r' ? READ : 0) | (w === 'w' ? WRITE : 0),
      device,
      shared:
        kind === 's' && device !== -1
          ? { identity: identityInText(device, inode!), offset: Number.parseInt(offset!, 16) }
          : undefined,
    });
  }
  return areas;
}

function identityInText(device: number, inode: string): string {
  const number = BigInt(inode);
  return fileIdentity(device, Number(number >> 32n), Number(number & 0xffff_ffffn));
}
