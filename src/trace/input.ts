/**
 * Input: what a machine has from outside, in the order in which it came, beside the calls themselves: what
 * their callers answered, what stood in memory, the time; and what let the machine go on. With it the same
 * machine does the same again (src/replay).
 *
 * What lets a machine go on is noted when that has ended, so that all that came of it stands before it: a
 * call (CallRecord), a piece of one that takes long, a step of the devices.
 */
import type { CallRecord } from './call-record.js';

/** What is asked for: docs/recording.md has the numbers that belong to each. */
export const Ask = {
  PID: 0,
  RAW_IO: 1,
  MAPS_FILES: 2,
  PARTS: 3,
  READ_CALLER: 4,
  WRITE_CALLER: 5,
  MEMORY: 6,
  MAPPED_FILE: 7,
  ADDRESS_SPACE: 8,
  LIVES_IN: 9,
  FILE_MEMORY: 10,
  EVENTFD: 11,
  DOORBELL: 12,
  PRESENTED: 13,
  INSTALL: 14,
  READ: 15,
  WRITE: 16,
  REACHES: 17,
  BACKING: 18,
  HELD: 19,
  TIME: 20,
  RINGS: 21,
  DISK_START: 22,
  DISK_RUN: 23,
  DISK_END: 24,
  DISK_LET_GO: 25,
  LINK_UP: 26,
  LINK_IN: 27,
  LINK_TAKEN: 28,
  LINK_OUT: 29,
  ADMIN: 30,
} as const;
export type AskKind = (typeof Ask)[keyof typeof Ask];

/** What comes by itself, between what lets the machine go on: nobody has to ask for it. */
export const comes: ReadonlySet<AskKind> = new Set([
  Ask.RINGS,
  Ask.DISK_END,
  Ask.DISK_LET_GO,
  Ask.LINK_UP,
  Ask.LINK_IN,
  Ask.LINK_TAKEN,
]);

/** What was answered; a refusal by its errno and reason. */
export interface Answer {
  readonly answer: readonly number[];
  /** What a memory is called, or why a transfer ended early; a refusal's reason. */
  readonly text?: string | undefined;
  /** What was read, or was to be written. */
  readonly bytes?: Uint8Array | undefined;
  readonly errno?: number | undefined;
}

export interface Asked extends Answer {
  readonly kind: 'asked';
  readonly what: AskKind;
  readonly of: readonly number[];
}

export type Input =
  | Asked
  /** A call that goes on in pieces has begun; `call` is as it was then. */
  | { readonly kind: 'begun'; readonly part: number; readonly call: CallRecord }
  /** A piece of it, but for the last: that is its CallRecord. */
  | { readonly kind: 'part'; readonly part: number }
  /** What was asked belongs to a call that was put off: it is made again. */
  | { readonly kind: 'postponed' }
  /** Devices have worked, or their timers have come. */
  | { readonly kind: 'step' };

/** Bits of what a memory is: the answer to MEMORY has them. */
export const MemoryIs = { OF_PROCESS: 1, ON_DISK: 2, BACKED: 4, HELD: 8 } as const;
