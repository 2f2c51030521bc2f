/**
 * ByteRing: bytes from one thread to another, in their order, through memory that both have.
 *
 * The writer waits only when the ring is full, or at the end for all to be read. The reader sleeps while
 * there is nothing, and is woken by what comes then; otherwise it takes at its own pace what has come
 * meanwhile, since to wake a thread costs more than a record.
 *
 * Invariant: `written` and `read` count bytes, modulo 2^32, and 0 <= written - read <= the ring's size. A
 * reader that has ended, or does not begin, takes everything, so that nobody waits for it.
 */
const RING_BYTES = 1 << 22;
const CONTROL_BYTES = 32;
/** More than any start of a thread takes. */
const START_MS = 30_000;

/** What stands where in the words before the bytes. */
const WRITTEN = 0;
const READ = 1;
const WRITER_ENDED = 2;
const READER = 3;
/** 1: the reader sleeps until something is written. */
const SLEEPS = 4;

/** Of the reader's word. */
const NOT_BEGUN = 0;
const BEGUN = 1;
const ENDED = 2;

export class ByteRing {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  readonly #patience: number;

  /**
   * @param memory that of a ring on another thread; absent: a new one.
   * @param patience for a reader to begin, in ms.
   */
  constructor(memory = new SharedArrayBuffer(CONTROL_BYTES + RING_BYTES), patience = START_MS) {
    this.memory = memory;
    this.#patience = patience;
    this.#words = new Int32Array(memory, 0, CONTROL_BYTES / 4);
    this.#bytes = new Uint8Array(memory, CONTROL_BYTES);
  }

  /** Bytes that wait to be read. */
  get waiting(): number {
    return (Atomics.load(this.#words, WRITTEN) - Atomics.load(this.#words, READ)) >>> 0;
  }

  // --- The writer ---

  /** Hands on `bytes`, when there is room. */
  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const room = this.#room();
      if (room === 0) return;
      const written = Atomics.load(this.#words, WRITTEN);
      const at = (written >>> 0) % this.#bytes.length;
      const count = Math.min(room, bytes.length - done, this.#bytes.length - at);
      this.#bytes.set(bytes.subarray(done, done + count), at);
      done += count;
      Atomics.store(this.#words, WRITTEN, written + count);
      if (Atomics.load(this.#words, SLEEPS) === 1) Atomics.notify(this.#words, WRITTEN);
    }
  }

  /** Nothing more comes. Returns when all has been read, and the reader has ended. */
  endWriting(): void {
    Atomics.store(this.#words, WRITER_ENDED, 1);
    Atomics.notify(this.#words, WRITTEN);
    Atomics.notify(this.#words, WRITER_ENDED);
    if (this.#isRead()) Atomics.wait(this.#words, READER, BEGUN);
  }

  /** Waits until there is some. @returns bytes that can be written; 0: there is no reader any more. */
  #room(): number {
    for (;;) {
      const read = Atomics.load(this.#words, READ);
      if (Atomics.load(this.#words, READER) === ENDED) return 0;
      const room = this.#bytes.length - ((Atomics.load(this.#words, WRITTEN) - read) >>> 0);
      if (room > 0) return room;
      if (!this.#isRead()) return 0;
      Atomics.wait(this.#words, READ, read);
    }
  }

  /** Waits for a reader that has yet to begin. @returns whether there is one, or was. */
  #isRead(): boolean {
    Atomics.wait(this.#words, READER, NOT_BEGUN, this.#patience);
    return Atomics.compareExchange(this.#words, READER, NOT_BEGUN, ENDED) !== NOT_BEGUN;
  }

  // --- The reader ---

  beginReading(): void {
    Atomics.compareExchange(this.#words, READER, NOT_BEGUN, BEGUN);
    Atomics.notify(this.#words, READER);
  }

  /**
   * What has come, as a copy; waits for some, `timeout` ms at most. @returns undefined: all has been read,
   * and nothing more comes; nothing: not yet.
   */
  read(timeout: number): Uint8Array | undefined {
    const read = Atomics.load(this.#words, READ);
    // Asked first: what is written before the end is seen then.
    const ended = Atomics.load(this.#words, WRITER_ENDED) === 1;
    if (this.waiting === 0 && !ended) this.#sleep(read, timeout);
    const count = this.waiting;
    if (count === 0) return ended ? undefined : new Uint8Array(0);
    const at = (read >>> 0) % this.#bytes.length;
    const bytes = this.#bytes.slice(at, at + count);
    Atomics.store(this.#words, READ, read + bytes.length);
    Atomics.notify(this.#words, READ);
    return bytes;
  }

  /** Lets `pace` ms pass, in which what is written wakes nobody; less when nothing more comes. */
  rest(pace: number): void {
    Atomics.wait(this.#words, WRITER_ENDED, 0, pace);
  }

  /** Until more is written than was when `read` was so, `timeout` ms at most. */
  #sleep(read: number, timeout: number): void {
    // Said before it is looked: the writer does it the other way round, so one of both sees the other.
    Atomics.store(this.#words, SLEEPS, 1);
    Atomics.wait(this.#words, WRITTEN, read, timeout);
    Atomics.store(this.#words, SLEEPS, 0);
  }

  /** Nobody reads any more. */
  endReading(): void {
    Atomics.store(this.#words, READER, ENDED);
    Atomics.notify(this.#words, READER);
    Atomics.notify(this.#words, READ);
  }
}
