/**
 * Signals an eventfd without ever waiting for it.
 *
 * A write to an eventfd blocks when its counter is full, and only O_NONBLOCK prevents it, which belongs to
 * the caller and can change at any time. So the kernel is made to signal: a read of nothing from /dev/null is
 * submitted as asynchronous I/O whose completion is to be told to the eventfd (IOCB_FLAG_RESFD,
 * io_submit(2)). The kernel adds 1 as its own drivers do, and stays at the maximum when it is reached.
 */
import { addressOf, libc } from './ffi.js';

const O_CLOEXEC = 0o2000000;
const IOCB_CMD_PREAD = 0;
const IOCB_FLAG_RESFD = 1;
/** Completions are taken out of the ring after so many signals. */
const RING_SIZE = 64;
const EVENT_BYTES = 32;

/** System call numbers (asm/unistd.h). */
const numbers: Partial<Record<string, { io_setup: number; io_submit: number; io_getevents: number }>> = {
  x64: { io_setup: 206, io_submit: 209, io_getevents: 208 },
  arm64: { io_setup: 0, io_submit: 2, io_getevents: 4 },
};

/** 32-bit words of the memory that the kernel reads: struct iocb, the list of one iocb, the context. */
const OPCODE = 4;
const FILE = 5;
const FLAGS = 14;
const EVENTFD = 15;
const LIST = 16;
const CONTEXT = 18;

/** One context of asynchronous I/O; this process needs no more. */
export class CompletionSignal {
  readonly #calls: { io_submit: number; io_getevents: number };
  readonly #words: Uint32Array;
  readonly #list: number;
  readonly #context: number;
  readonly #events = new Uint8Array(RING_SIZE * EVENT_BYTES);
  #inRing = 0;

  /** @returns undefined where the kernel has no asynchronous I/O or does not allow it. */
  static create(): CompletionSignal | undefined {
    const calls = numbers[process.arch];
    if (calls === undefined) return undefined;
    const bytes = new Uint8Array(256);
    const words = new Uint32Array(bytes.buffer);
    if (libc().syscall(calls.io_setup, RING_SIZE, addressOf(bytes) + 4 * CONTEXT, 0) === -1) return undefined;
    const file = libc().open('/dev/null', O_CLOEXEC, 0);
    return file === -1 ? undefined : new CompletionSignal(calls, bytes, words, file);
  }

  private constructor(
    calls: { io_submit: number; io_getevents: number },
    bytes: Uint8Array,
    words: Uint32Array,
    file: number,
  ) {
    this.#calls = calls;
    this.#words = words;
    this.#context = words[CONTEXT]! + words[CONTEXT + 1]! * 2 ** 32;
    this.#list = addressOf(bytes) + 4 * LIST;
    words[OPCODE] = IOCB_CMD_PREAD;
    words[FILE] = file;
    words[FLAGS] = IOCB_FLAG_RESFD;
    words[LIST] = addressOf(bytes) >>> 0;
    words[LIST + 1] = addressOf(bytes) / 2 ** 32;
  }

  /** Adds 1 to the counter of eventfd `fd`. */
  raise(fd: number): void {
    if (this.#inRing === RING_SIZE) this.#empty();
    this.#words[EVENTFD] = fd;
    this.#inRing++;
    libc().syscall(this.#calls.io_submit, this.#context, 1, this.#list);
  }

  #empty(): void {
    libc().syscall5(this.#calls.io_getevents, this.#context, 0, RING_SIZE, addressOf(this.#events), 0);
    this.#inRing = 0;
  }
}
