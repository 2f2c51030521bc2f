/**
 * The areas of an address space (the kernel's VMAs): stretches of memory with equal rights and one file
 * behind them.
 *
 * The kernel is asked about one address at a time (PROCMAP_QUERY on an open /proc/PID/maps, which is bound to
 * the address space); before Linux 6.11 the text of /proc/TID/maps is read, once for all questions about a
 * range.
 */
import { readFileSync } from 'node:fs';
import { Errno } from './errno.js';
import { addressOf, lastErrno, libc } from './ffi.js';
import { deviceNumber, fileIdentity } from './file-status.js';
import { gone } from './proc.js';

const READ = 1;
const WRITE = 2;

/** _IOWR('f', 17, struct procmap_query), 104 bytes (linux/fs.h, Linux 6.11). */
const PROCMAP_QUERY = 0xc0686611;
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

/**
 * Answers which area an address is in, for one range and no longer: a process changes its areas when it
 * likes.
 */
export class Areas {
  readonly #tid: number;
  readonly #maps: number;
  #listed: Area[] | undefined;

  /** @param maps an open /proc/TID/maps. */
  constructor(tid: number, maps: number) {
    this.#tid = tid;
    this.#maps = maps;
  }

  /**
   * The area that contains `address`; undefined when nothing is mapped there. @throws Refusal ESRCH the
   * process has exited.
   */
  at(address: number): Area | undefined {
    if (this.#listed === undefined) {
      query.fill(0);
      query[0] = QUERY_SIZE;
      query[4] = address >>> 0;
      query[5] = address / 2 ** 32;
      if (libc().ioctl(this.#maps, PROCMAP_QUERY, addressOf(queryBytes)) === 0) return decodeQuery();
      const errno = lastErrno();
      if (errno === Errno.ENOENT) return undefined;
      if (errno === Errno.ESRCH) throw gone(this.#tid);
      this.#listed = areasInText(mapsText(this.#tid));
    }
    return this.#listed.find((area) => area.start <= address && address < area.end);
  }
}

function decodeQuery(): Area {
  const flags = query[10]!;
  const file = query[16] !== 0 || query[17] !== 0;
  const device = file ? deviceNumber(query[18]!, query[19]!) : -1;
  return {
    start: wide(6),
    end: wide(8),
    rights: (flags & VMA_READABLE ? READ : 0) | (flags & VMA_WRITABLE ? WRITE : 0),
    device,
    shared:
      file && flags & VMA_SHARED
        ? { identity: fileIdentity(device, query[17]!, query[16]!), offset: wide(14) }
        : undefined,
  };
}

function wide(at: number): number {
  return query[at]! + query[at + 1]! * 2 ** 32;
}

function mapsText(tid: number): string {
  try {
    return readFileSync(`/proc/${tid}/maps`, 'latin1');
  } catch {
    throw gone(tid);
  }
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
