/**
 * SpaceProof: does a thread that waits for us live in the address space that is held (process-memory.ts)?
 *
 * It is a thread of the process with our id, and the process of our pidfd lives, so that the id is still its
 * own. An address space of one process changes by exec alone, and exec draws 16 new random bytes; those that
 * the thread has now are compared with what ours has.
 *
 * A program that shares the old address space could write ours, but cannot know theirs, unless it may read
 * the new program's memory anyway. Where they lie is asked of the thread, because a program may put another
 * address in its own auxiliary vector (PR_SET_MM_MAP), of bytes that it knows.
 */
import { randomAddress } from './aux-vector.js';
import { addressOf } from './ffi.js';
import { pollNow } from './poll-now.js';
import { areProof, PROOF_BYTES, type Reach } from './reach.js';

const POLLIN = 1;

/** struct pollfd: fd, then events and revents. */
const pollfd = new Int32Array(32);
const pollBytes = new Uint8Array(pollfd.buffer);

export class SpaceProof {
  readonly #pid: number;
  readonly #pidfd: number;
  readonly #reach: Reach;
  /** Where the random bytes are; 0 where that is not known. */
  readonly #random: number;
  /** What they were when they were read last: a program may change its own. */
  readonly #bytes = new Uint8Array(PROOF_BYTES);

  /** Of the address space of `reach`, in which thread `tid` of process `pid` lives, which waits for us. */
  constructor(pid: number, tid: number, pidfd: number, reach: Reach) {
    this.#pid = pid;
    this.#pidfd = pidfd;
    this.#reach = reach;
    const random = randomAddress(pid, tid);
    this.#random = random !== 0 && this.#reads(random, this.#bytes) ? random : 0;
  }

  /** Does thread `tid`, which waits for us, live in it? */
  isOf(tid: number): boolean {
    const random = this.#random;
    if (random === 0 || randomAddress(this.#pid, tid) !== random || this.exited) return false;
    return (
      this.#reach.has(tid, random, this.#bytes) ||
      (this.#changed() && this.#reach.has(tid, random, this.#bytes))
    );
  }

  /** Has the process exited? It may have executed another program before. (Its pidfd is readable then.) */
  get exited(): boolean {
    pollfd[0] = this.#pidfd;
    pollfd[1] = POLLIN;
    return pollNow(addressOf(pollBytes), 1) !== 0;
  }

  /** Has ours other bytes than when they were read last? They are read again. */
  #changed(): boolean {
    const now = new Uint8Array(PROOF_BYTES);
    if (!this.#reads(this.#random, now) || areProof(this.#bytes, now)) return false;
    this.#bytes.set(now);
    return true;
  }

  #reads(address: number, target: Uint8Array): boolean {
    return this.#reach.read(address, target, 0, PROOF_BYTES) === PROOF_BYTES;
  }
}
