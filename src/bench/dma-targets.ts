/**
 * Where the DMA of the benchmark `dma` goes: files that this process maps, and memory of another process,
 * which a C program holds (bench/process-memory.c) as whoever maps his memory for a device does.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { finish } from '../file/work.js';
import { READ, WRITE } from '../iommu/iommu.js';
import { holding, type Memory } from '../iommu/memory.js';
import { Account } from '../linux/account.js';
import { addressOf, check, libc } from '../linux/ffi.js';
import { fileMemory } from '../linux/file-memory.js';
import { processMemory } from '../linux/process-memory.js';
import type { References } from './reference.js';

/** Bytes that the transfers go round in, as in bench/memcpy.c. */
export const AREA = 16 << 20;
export const PAGE = 4096;
/** As in bench/process-memory.c. */
const STRIDE = 1021;
const PAGES = AREA / PAGE;
const MFD_CLOEXEC_ALLOW_SEALING = 3;
const F_ADD_SEALS = 1033;
const F_SEAL_SHRINK = 2;

const account = Account.of('the bench');

/** The memory that a mapping leads to, and a look at its bytes that does not go through the mapping. */
export interface Target {
  readonly memory: Memory;
  readonly offset: number;
  /** Where it is in another process. */
  readonly process?: { readonly pid: number; readonly address: number };
  peek(at: number, bytes: Uint8Array): void;
  close(): Promise<void> | void;
}

/** Page `n` of what is scattered is this one of the area. */
export function scattered(n: number): number {
  return ((n % PAGES) * STRIDE) % PAGES;
}

export function memfd(sealed: boolean): Target {
  const fd = check(libc().memfd_create('bench', MFD_CLOEXEC_ALLOW_SEALING), 'no memfd could be made');
  check(libc().ftruncate(fd, AREA), 'the memfd could not be given its size');
  if (sealed) check(libc().fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 'the memfd could not be sealed');
  const { memory, offset } = fileMemory(account, process.pid, fd, 0, AREA, READ | WRITE);
  return {
    memory,
    offset,
    peek: (at, bytes) =>
      check(libc().pread(fd, addressOf(bytes), bytes.length, at), 'the memfd could not be read'),
    close: () => {
      memory.close();
      libc().close(fd);
    },
  };
}

/** Memory of a program that runs for it alone. `kind` as bench/process-memory.c has it. */
export async function memoryOfProcess(references: References, kind: string): Promise<Target> {
  const child = spawn(references.compile('process-memory'), ['hold', kind, String(AREA)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [pid, address] = await saidBy(child);
  const { memory: owner, offset } = finish(processMemory(account, pid, address, AREA, READ | WRITE));
  // As iommufd maps it, the program waiting for us: what is shared is held as a file.
  const memory = finish(holding(owner, offset, AREA, READ | WRITE));
  const mem = openSync(`/proc/${pid}/mem`, 'r');
  return {
    memory,
    offset,
    process: { pid, address },
    peek: (at, bytes) =>
      check(libc().pread(mem, addressOf(bytes), bytes.length, address + at), 'its memory could not be read'),
    close: async () => {
      closeSync(mem);
      memory.close();
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}

async function saidBy(child: ChildProcessByStdio<Writable, Readable, null>): Promise<[number, number]> {
  const [text] = (await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])) as [unknown];
  const [pid, address] = String(text).trim().split(' ').map(Number);
  if (pid === undefined || address === undefined) throw new Error('dma: there is no memory of a process');
  return [pid, address];
}
