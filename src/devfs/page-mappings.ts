/**
 * PageMappings: pages of a BAR that a program has itself, memory and doorbells, and how they come into it.
 *
 * The program's own mmap(2) maps the device file, where every access is trapped. While it waits there, the
 * descriptors of the pages are put into it (seccomp_unotify(2)). When it comes out of the call, before its
 * next instruction, the thread is made to map them over their part of the new mapping, and to close them.
 * Where one of these steps fails, accesses are trapped there as well, which is slower and otherwise the same.
 *
 * Such a part is a mapping of another file from then on: it does not keep the device file open, and where
 * several mappings cannot be moved in one mremap(2) (before Linux 6.17) neither can these.
 */
import { closeSync } from 'node:fs';
import type { Caller } from '../file/open-file.js';
import type { Work } from '../file/work.js';
import type { Access } from '../iommu/iommu.js';
import { hex, Refusal, refuse } from '../linux/errno.js';
import { mappedByte } from '../linux/process-areas.js';
import { resultOf } from '../linux/ptrace.js';
import type { Maps } from '../linux/reach.js';
import { SHARED_BY_TRACER } from '../linux/seccomp.js';
import type { SharedPages } from '../linux/shared-pages.js';
import type { Identification } from './identification.js';
import type { Opened } from './inode.js';
import type { TracedProcess } from './traced-process.js';

const SYS_close = 3;
const SYS_mmap = 9;
const MAP_FIXED = 0x10;
/** Pieces of a mapping that are looked at before others may be served. */
const CHUNK = 64;

/** An open file, from byte `start` on. */
export interface MappedFile {
  readonly opened: Opened;
  readonly start: number;
}

/** Whose pages they are. */
interface Owner extends MappedFile {
  readonly pages: SharedPages;
}

/** Pages to be mapped over the mapping at `by` bytes from its beginning; `fd` is the program's. */
interface Part {
  readonly fd: number;
  readonly by: number;
  readonly length: number;
  readonly at: number;
}

/** What mmap(2) was asked for. */
export interface MapRequest {
  readonly offset: number;
  readonly length: number;
  readonly protection: number;
}

/** What is done with a thread that has stopped on its way out of such an mmap(2). @throws Refusal. */
export type Finish = (tid: number, process: TracedProcess, caller: Caller) => void;

export class PageMappings {
  readonly #identification: Identification;
  /** By inode. */
  readonly #owners = new Map<number, Owner>();

  constructor(identification: Identification) {
    this.#identification = identification;
  }

  /**
   * A thread waits in the mmap(2) of `opened` that is asked for by `request`. `give` puts a copy of our
   * descriptor into it. @returns what is to be done when it comes out of that; undefined: nothing.
   * @throws Refusal EMFILE, ENFILE we have no descriptors left; ESRCH as `give`.
   */
  begin(opened: Opened, request: MapRequest, give: (fd: number) => number): Finish | undefined {
    const pages = opened.file.mapping?.pages(request.offset, request.length) ?? [];
    for (const [inode, owner] of this.#owners) if (owner.pages.closed) this.#owners.delete(inode);
    const parts = pages.flatMap((each) => {
      const fd = given(each.pages, opened.readOnly, give);
      if (fd === undefined) return [];
      const { inode } = each.pages;
      this.#owners.set(inode, { pages: each.pages, opened, start: each.offset - each.at });
      return [{ fd, by: each.offset - request.offset, length: each.length, at: each.at }];
    });
    if (parts.length === 0) return undefined;
    return (tid, process, caller) => finish(tid, process, caller, parts, request.protection);
  }

  /**
   * What is mapped at [address, address+length), by an open /proc/PID/maps, as a part of one file; undefined
   * when it begins in none of ours. In slices: a program may have cut it into many pieces. @throws Refusal
   * EFAULT it is not one part of a file with the rights of `access`.
   */
  *range(maps: Maps, address: number, length: number, access: Access): Work<MappedFile | undefined> {
    let first: MappedFile | undefined;
    for (let done = 0, pieces = 1; done < length; pieces++) {
      const byte = mappedByte(maps, address + done);
      const file = byte && this.file(byte.device, byte.inode);
      const start = file && file.start + byte.offset - done;
      if (first === undefined && file === undefined) return undefined;
      if (file === undefined || (first !== undefined && !isAt(file.opened, start!, first)))
        refuse('EFAULT', `${hex(address + done)} is not mapped as what is mapped below it`);
      if ((access & ~byte!.rights) !== 0)
        refuse('EFAULT', `a device file is mapped at ${hex(address + done)} without the rights asked for`);
      first ??= { opened: file.opened, start: start! };
      done += byte!.length;
      if (pieces % CHUNK === 0) yield;
    }
    return first;
  }

  /** The file that is mapped where the kernel names this device and inode, from its byte `start` on. */
  file(device: number, inode: number): MappedFile | undefined {
    const opened = this.#identification.byMapping(device, inode);
    if (opened !== undefined) return { opened, start: 0 };
    const owner = this.#owners.get(inode);
    return owner?.pages.device === device && !owner.pages.closed ? owner : undefined;
  }
}

function finish(
  tid: number,
  process: TracedProcess,
  caller: Caller,
  parts: readonly Part[],
  protection: number,
): void {
  const mapping = resultOf(tid);
  for (const { fd, by, length, at } of parts) {
    const how = [protection, SHARED_BY_TRACER | MAP_FIXED, fd, at];
    if (mapping > 0) process.call(tid, caller, SYS_mmap, mapping + by, length, ...how);
    process.call(tid, caller, SYS_close, fd);
  }
}

function isAt(opened: Opened, start: number, first: MappedFile): boolean {
  return opened === first.opened && start === first.start;
}

/** The number of a descriptor of `pages` that the program was given; undefined: it has no room for one. */
function given(pages: SharedPages, readOnly: boolean, give: (fd: number) => number): number | undefined {
  const fd = readOnly ? pages.readOnly() : pages.fd;
  try {
    return give(fd);
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== 'EMFILE') throw error;
    return undefined;
  } finally {
    if (readOnly) closeSync(fd);
  }
}
