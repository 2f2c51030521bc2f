/**
 * Which code of which model this thread is in, told in memory that other threads see too.
 *
 * A model that loops keeps its thread: only another one can tell, and name it. So two words are stored at
 * each call, plainly: nobody waits for them, and an atomic store is ten times as dear. Names go where they
 * are seen too, once for each model.
 *
 * Invariant: CALL is 0 while no model is being called. LATER is 0 from the moment on at which Node calls back
 * what is no model's. COUNT has another value at each call and each such moment, and when LATER was 0 and is
 * not.
 */
import { url as inspectorUrl } from 'node:inspector';
import { hex } from '../linux/errno.js';

/** The words. */
export const CallWord = {
  /** 0, or the call that is under way: a number of `nameOwner`, and the method beside it. */
  CALL: 0,
  COUNT: 1,
  /** Odd while the call is in a DMA, which may wait for memory that is not ours. It changes with each. */
  DMA: 3,
  /** 1: a debugger may stop this thread at any place. */
  DEBUGGED: 2,
  /** 0, or whose callback Node has called last: what a model has left behind. As CALL. */
  LATER: 4,
  /** The last access of a BAR: whose, as CALL; then BAR, offset and length, and what is written of it. */
  ACCESS: 5,
  BAR: 6,
  OFFSET: 7,
  OFFSET_HIGH: 8,
  LENGTH: 9,
  VALUE: 10,
  VALUE_HIGH: 11,
} as const;

/** What is called, by number. */
export const Method = {
  FACTORY: 0,
  READ_BAR: 1,
  WRITE_BAR: 2,
  STEP: 3,
  BUSY: 4,
  RESET: 5,
  DRAIN: 6,
  START: 7,
  CONFIG: 8,
  WRITE_CONFIG: 9,
  GROUP: 10,
  /** Its module. */
  IMPORT: 11,
  /** What it has left behind on Node's queues. */
  LATER: 12,
  SERVE: 13,
  /** What it has asked for by `after`. */
  TIMER: 14,
  REGISTER_NAME: 15,
} as const;
export type Method = (typeof Method)[keyof typeof Method];
export const methodNames = [
  'the factory',
  'readBar',
  'writeBar',
  'step',
  'busy',
  'reset',
  'drain',
  'start',
  'config',
  'writeConfig',
  'group',
  'the import',
  'a timer, microtask or promise',
  'serve',
  'a callback of host.after',
  'registerName',
] as const;
/** Numbers of an owner. */
export const METHODS = 16;
const NAME_BYTES = 1 << 16;

/** Of this thread; what it hands to another one is seen there. */
export const callWords = new Int32Array(new SharedArrayBuffer(64));
export const callNames = new Uint8Array(new SharedArrayBuffer(NAME_BYTES));
let named = 0;
let nameEnd = 0;

/**
 * Names one whose methods are called. @returns what CALL is while its factory is; the other methods follow.
 * Names that there is no room for are not known.
 */
export function nameOwner(name: string): number {
  const bytes = new TextEncoder().encode(`${name.replaceAll('\n', ' ')}\n`);
  if (nameEnd + bytes.length <= NAME_BYTES) {
    callNames.set(bytes, nameEnd);
    nameEnd += bytes.length;
  }
  return ++named * METHODS;
}

/**
 * What `call`, a value of CALL or LATER, is in words: `readBar of vfio0`. `names` are the bytes of the names.
 */
export function describeCall(call: number, names: Uint8Array): string {
  // A decoder takes no shared memory.
  const [...all] = new TextDecoder().decode(Uint8Array.from(names)).split('\n');
  const owner = all[Math.floor(call / METHODS) - 1] || 'a device';
  return `${methodNames[call % METHODS]} of ${owner}`;
}

/** Tells the access that the call `call`, of readBar or writeBar, is for. `source`: what is written. */
export function noteAccess(call: number, bar: number, offset: number, length: number, source?: Uint8Array) {
  callWords[CallWord.ACCESS] = call;
  callWords[CallWord.BAR] = bar;
  callWords[CallWord.OFFSET] = offset;
  callWords[CallWord.OFFSET_HIGH] = offset / 2 ** 32;
  callWords[CallWord.LENGTH] = length;
  callWords[CallWord.VALUE] = source === undefined ? 0 : wordOf(source, 0);
  callWords[CallWord.VALUE_HIGH] = source === undefined || length <= 4 ? 0 : wordOf(source, 4);
}

/** The little-endian word at `at` of `bytes`, of which there may be fewer. */
function wordOf(bytes: Uint8Array, at: number): number {
  let word = 0;
  for (let n = Math.min(4, bytes.length - at) - 1; n >= 0; n--) word = (word << 8) | bytes[at + n]!;
  return word;
}

/** The last access of the device that `call` is of, with its place before it: `, in a read of ...`. */
export function describeLastAccess(call: number, words: Int32Array): string {
  const last = words[CallWord.ACCESS]!;
  if (last === 0 || Math.floor(last / METHODS) !== Math.floor(call / METHODS)) return '';
  const wide = (low: number, high: number) => BigInt(words[low]! >>> 0) + (BigInt(words[high]! >>> 0) << 32n);
  const width = words[CallWord.LENGTH]!;
  const value = wide(CallWord.VALUE, CallWord.VALUE_HIGH).toString(16);
  const access = {
    bar: words[CallWord.BAR]!,
    offset: wide(CallWord.OFFSET, CallWord.OFFSET_HIGH),
    width,
    written: last % METHODS === Method.WRITE_BAR ? value.padStart(2 * Math.min(width, 8), '0') : undefined,
  };
  return `, ${call === last ? 'in' : 'after'} ${describeAccess(access)}`;
}

/** `a write of 4 bytes, 0x00000007, at 0x10 of BAR 0`. `written`: hexadecimal digits. */
export function describeAccess(access: {
  readonly bar: number;
  readonly offset: number | bigint;
  readonly width: number;
  readonly written: string | undefined;
}): string {
  const { bar, offset, width, written } = access;
  const bytes = width === 1 ? '1 byte' : `${width} bytes`;
  const value = written === undefined ? '' : `, 0x${written},`;
  return `a ${written === undefined ? 'read' : 'write'} of ${bytes}${value} at ${hex(offset)} of BAR ${bar}`;
}

/** Says whether a debugger listens, which may stop this thread. The main thread alone knows of it. */
export function noteDebugger(): void {
  callWords[CallWord.DEBUGGED] = inspectorUrl() === undefined ? 0 : 1;
}
