/** The numbers that recordings are made of: docs/recording.md has them too. */
import type { CallWay } from '../call-record.js';
import type { CallKind } from '../event.js';
import { Ask, type AskKind } from '../input.js';

/** What a record is: its first byte. */
export const RecordKind = {
  CALL: 1,
  DMA_READ: 2,
  DMA_WRITE: 3,
  FAULT_READ: 4,
  FAULT_WRITE: 5,
  INTERRUPT: 6,
  INTERRUPT_LOST: 7,
  AUTHORIZED: 8,
  REVOKED: 9,
  PAGE_READ: 10,
  PAGE_WRITE: 11,
  NOTE: 12,
  LOST: 13,
  MACHINE: 14,
  ASKED: 15,
  BEGUN: 16,
  PART: 17,
  POSTPONED: 18,
  STEP: 19,
  AGAIN: 20,
} as const;

/** Calls, by their numbers. */
export const calls: readonly CallKind[] = [
  'open',
  'ioctl',
  'read',
  'write',
  'load',
  'access',
  'mmap',
  'flush',
  'release',
];

/** Which fields the record of a call has. */
export const CallField = {
  PID: 1,
  TID: 2,
  PROGRAM: 4,
  FD: 8,
  IOCTL: 16,
  TRANSFER: 32,
  ERROR: 64,
  REASON: 128,
  FILE: 256,
  PART: 512,
  /** How it came, when that is not as a system call. */
  WAY: 1024,
} as const;

/** Ways that a call may come, by their numbers. */
export const ways: readonly CallWay[] = ['call', 'store', 'store64', 'unserved'];

/** Of a read or write of which no layout is known: what is longer than a register may be left out. */
const REGISTER_BYTES = 8;

/** The length above which the content of a transfer may be left out; what is written below /sys never is. */
export function keptOfTransfer(path: string, hasLayout: boolean): number {
  return hasLayout || path.startsWith('/') ? Number.POSITIVE_INFINITY : REGISTER_BYTES;
}

const leftOut = new Set<AskKind>([
  Ask.READ,
  Ask.WRITE,
  Ask.DISK_START,
  Ask.DISK_RUN,
  Ask.DISK_END,
  Ask.LINK_IN,
  Ask.LINK_OUT,
]);

/** The length above which the content of an answer may be left out: that of memory, disks and links. */
export function keptOf(what: AskKind): number {
  return leftOut.has(what) ? 0 : Number.POSITIVE_INFINITY;
}

/** Which fields the record of what was asked has. */
export const AskedField = { ERRNO: 1, TEXT: 2, BYTES: 4 } as const;

/** Which fields a read, write or load has. */
export const TransferField = { OFFSET: 1, PLACE: 2, LAYOUT: 4 } as const;
