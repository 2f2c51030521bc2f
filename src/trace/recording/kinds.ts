/** The numbers that recordings are made of: docs/recording.md has them too. */
import type { CallKind } from '../event.js';

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
} as const;

/** Which fields a read, write or load has. */
export const TransferField = { OFFSET: 1, PLACE: 2, LAYOUT: 4 } as const;
