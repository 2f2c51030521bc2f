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
/** Signals that are submitted at once, and completions that the ring has room for. */
export const BATCH = 64;
const EVENT_BYTES = 32;

/** System call numbers (asm/unistd.h). */
const numbers: Partial<Record<string, { io_setup: number; io_submit: number; io_getevents: number }>> = {
  x64: { io_setup: 206, io_submit: 209, io_getevents: 208 },
  arm64: { io_setup: 0, io_submit: 2, io_getevents: 4 },
};

/** 32-bit words of struct iocb. */
const IOCB_WORDS = 16;
const OPCODE = 4;
const FILE = 5;
const FLAGS = 14;
const EVENTFD = 15;
/** After all of these: the addresses of each, and the context. */
const LIST = BATCH * IOCB_WORDS;
const CONTEXT = LIST + 2 * BATCH;

/** One context of asynchronous I/O; this process needs no more. */
export class CompletionSignal {
  readonly #calls: { io_submit: number; io_getevents: number };
  /** What the kernel reads. */
  readonly #words: Uint32Array;
  readonly #list: number;
  readonly #context: number;
  readonly #events = new Uint8Array(BATCH * EVENT_BYTES);
  #inRing = 0;

  /** @returns undefined where the kernel has no asynchronous I/O or does not allow it. */
  static create(): CompletionSignal | undefined {
    const calls = numbers[process.arch];
    if (calls === undefined) return undefined;
    const bytes = new Uint8Array(4 * (CONTEXT + 2));
    const words = new Uint32Array(bytes.buffer);
    if (libc().syscall(calls.io_setup, BATCH, addressOf(bytes) + 4 * CONTEXT, 0) === -1) return undefined;
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
    for (let n = 0; n < BATCH; n++) {
      const iocb = n * IOCB_WORDS;
      words[iocb + OPCODE] = IOCB_CMD_PREAD;
      words[iocb + FILE] = file;
      words[iocb + FLAGS] = IOCB_FLAG_RESFD;
      const at = addressOf(bytes) + 4 * iocb;
      words[LIST + 2 * n] = at >>> 0;
      words[LIST + 2 * n + 1] = at / 2 ** 32;
    }
  }

  /** Adds 1 to the counter of eventfd `fd`, `times` times, BATCH at most. */
  raise(fd: number, times: number): void {
    if (this.#inRing + times > BATCH) this.#empty();
    for (let n = 0; n < times; n++) this.#words[n * IOCB_WORDS + EVENTFD] = fd;
    this.#inRing += times;
    libc().syscall(this.#calls.io_submit, this.#context, times, this.#list);
  }

  #empty(): void {
    libc().syscall5(this.#calls.io_getevents, this.#context, 0, BATCH, addressOf(this.#events), 0);
    this.#inRing = 0;
  }
}
