/**
 * Machine code of ours, for what no JavaScript can do: handlers of signals.
 *
 * Each line of a text is the code and the instruction that it is, which a test has assembled again
 * (testkit/assembler.ts). It lies in a page of its own, written here and then made executable and read-only.
 */
import { libc, viewMemory } from './ffi.js';

const PROT_READ_WRITE = 3;
const PROT_READ_EXEC = 5;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FAILED = 2 ** 63;
const SA_SIGINFO = 4;
/** On the alternate stack if the thread has one; interrupted calls go on after a signal that was not ours. */
const SA_ONSTACK_RESTART = 0x18000000;
const PAGE = 4096;

/** struct sigaction of the C library: handler 0, mask 8, flags 136, restorer 144. */
const HANDLER = 0;
const MASK = 8;
const FLAGS = 136;
const ACTION_BYTES = 152;

export interface MachineCode {
  /** `code | instruction | remark`; the code in bytes, or in words with the lowest byte first. */
  readonly text: string;
  /** Offset of the handler. */
  readonly handler: number;
  /** Offset of the kernel's struct sigaction of what was there before: zeros but for the handler. */
  readonly previous: number;
}

/** The bytes of the first column. */
export function assembled({ text }: Pick<MachineCode, 'text'>): Uint8Array {
  const bytes: number[] = [];
  for (const line of text.split('\n')) {
    for (const [unit] of line.split('|')[0]!.matchAll(/\w+/g)) {
      for (let end = unit.length; end > 0; end -= 2)
        bytes.push(Number.parseInt(unit.slice(end - 2, end), 16));
    }
  }
  return Uint8Array.from(bytes);
}

/**
 * Puts `code` into a page, with the present handler of `signal` at `previous` and `data` 8 bytes after, and
 * makes its handler that of the signal. @returns the page's address; undefined when it cannot be had.
 */
export function installHandler(
  signal: number,
  code: MachineCode,
  data: Uint8Array = new Uint8Array(0),
): number | undefined {
  const before = new Uint8Array(ACTION_BYTES);
  if (libc().sigaction(signal, null, before) !== 0) return undefined;
  const page = libc().mmap(0, PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  if (page >= MAP_FAILED) return undefined;
  const bytes = viewMemory(page, PAGE);
  bytes.set(assembled(code));
  bytes.set(before.subarray(HANDLER, HANDLER + 8), code.previous);
  bytes.set(data, code.previous + 8);
  const executable = libc().mprotect(page, PAGE, PROT_READ_EXEC) === 0;
  if (executable && libc().sigaction(signal, handledAt(page + code.handler, before), null) === 0) return page;
  libc().munmap(page, PAGE);
  return undefined;
}

const present = new Uint8Array(ACTION_BYTES);
const presentView = new DataView(present.buffer);

/** Sets a flag (SA_*) of the action of `signal`, whose handler stays, or takes it away. */
export function setActionFlag(signal: number, flag: number, on: boolean): void {
  if (libc().sigaction(signal, null, present) !== 0) return;
  const flags = presentView.getInt32(FLAGS, true);
  presentView.setInt32(FLAGS, on ? flags | flag : flags & ~flag, true);
  libc().sigaction(signal, present, null);
}

/**
 * A struct sigaction. Signals that were blocked in the handler `before` are in this one, which may go on in
 * it: libuv's holds a lock that its handlers of other signals wait for.
 */
function handledAt(address: number, before: Uint8Array): Uint8Array {
  const action = new Uint8Array(ACTION_BYTES);
  action.set(before.subarray(MASK, MASK + 8), MASK);
  const view = new DataView(action.buffer);
  view.setBigUint64(HANDLER, BigInt(address), true);
  view.setInt32(FLAGS, SA_SIGINFO | SA_ONSTACK_RESTART, true);
  return action;
}
