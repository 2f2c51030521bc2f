/**
 * StandIn: a second thread that reads the connection when the serving thread cannot.
 *
 * The serving thread touches memory of other processes, and a page of it may be one of our own files, mapped
 * privately. Then the kernel asks the server for that page and lets the toucher wait for the answer: without
 * help, for ever. So the stand-in watches the pulse of the serving thread, which beats at each poll and each
 * request. When it has stood still for PATIENCE_MS while the thread was awake, the stand-in takes requests
 * from the connection: it answers those for pages with EIO, which is what they always get, and hands all
 * others on in their order.
 *
 * Invariant: no request overtakes another. The serving thread takes what was handed on before it reads the
 * connection, and does neither while the stand-in has a request in its hands. Shared words say so; both sides
 * write one and then read the other's: the stand-in says that it takes and looks at the pulse, the serving
 * thread lets the pulse beat and looks at whether the stand-in takes.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { Pulse } from '../linux/event-loop.js';
import { address, check, libc } from '../linux/ffi.js';

/** EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC: a read takes one. */
const EFD_FLAGS = 0o2004001;

/** The shared words. */
export const Word = {
  /**
   * Odd: the serving thread is awake. It changes with each poll, before and after, and before the connection
   * is read.
   */
  PULSE: 0,
  /** 1: the stand-in sleeps until the serving thread wakes. */
  ASLEEP: 1,
  /** 1: the stand-in is about to take a request, or has one in its hands. */
  TAKING: 2,
  /** How many requests it has handed on. */
  HANDED_ON: 3,
} as const;

/** What the stand-in's thread is given. */
export interface StandInData {
  readonly fuse: number;
  /** An eventfd: one for each request that is handed on. */
  readonly bell: number;
  readonly words: Int32Array;
  readonly port: MessagePort;
}

export class StandIn implements Pulse {
  /** Readable when requests were handed on. */
  readonly bell: number;
  readonly #words = new Int32Array(new SharedArrayBuffer(64));
  readonly #fuse: number;
  #port: MessagePort | undefined;
  #worker: Worker | undefined;
  readonly #count = new Uint8Array(128);
  #pulse = 1;
  #received = 0;

  /** Will stand in for this thread at the connection `fuse`. @throws Refusal EMFILE. */
  constructor(fuse: number) {
    this.#fuse = fuse;
    this.bell = check(libc().eventfd(0, EFD_FLAGS), 'no eventfd could be made');
    Atomics.store(this.#words, Word.PULSE, this.#pulse);
  }

  /**
   * From now on memory of other processes may be touched. (A thread is not made earlier because it costs a
   * start-up of Node.)
   */
  start(): void {
    if (this.#worker !== undefined) return;
    const { port1, port2 } = new MessageChannel();
    const workerData: StandInData = { fuse: this.#fuse, bell: this.bell, words: this.#words, port: port2 };
    this.#port = port1;
    this.#worker = new Worker(new URL('stand-in-thread.js', import.meta.url), {
      workerData,
      transferList: [port2],
    });
    this.#worker.on('error', (error) =>
      console.error(`ioasid: nobody stands in for the serving thread: ${error.message}`),
    );
    this.#worker.unref();
  }

  sleeps(): void {
    this.#beat(1);
  }

  wakes(): void {
    this.#beat(1);
    if (Atomics.load(this.#words, Word.ASLEEP) === 0) return;
    Atomics.store(this.#words, Word.ASLEEP, 0);
    Atomics.notify(this.#words, Word.ASLEEP);
  }

  /** Puts the first request that was handed on into `target`. @returns its length; 0 when there is none. */
  take(target: Uint8Array): number {
    // This thread may have stood still since it woke: the stand-in must not take the next request beside it.
    this.#beat(2);
    this.#untilEmptyHanded();
    if (Atomics.load(this.#words, Word.HANDED_ON) === this.#received) return 0;
    const { message } = receiveMessageOnPort(this.#port!) as { message: Uint8Array };
    this.#received = (this.#received + 1) | 0;
    libc().read(this.bell, address(this.#count), 8);
    target.set(message);
    return message.length;
  }

  /** The connection has ended: nobody touches its descriptor from here on. The bell rings once more. */
  end(): void {
    Atomics.store(this.#words, Word.PULSE, 0);
    this.#untilEmptyHanded();
    this.#port?.close();
    void this.#worker?.terminate();
    this.#count[0] = 1;
    libc().write(this.bell, address(this.#count), 8);
  }

  #beat(by: number): void {
    this.#pulse = (this.#pulse + by) & 0x7fff_ffff;
    Atomics.store(this.#words, Word.PULSE, this.#pulse);
  }

  #untilEmptyHanded(): void {
    while (Atomics.load(this.#words, Word.TAKING) === 1) Atomics.wait(this.#words, Word.TAKING, 1);
  }
}
