/**
 * RemoteReach: the memory of an address space whose process must not be able to let us wait (reach.ts), by a
 * helper process that does the system calls, and is waited for as patient-helper.ts says.
 *
 * Invariant: a helper that has been asked has copies of our two files, until `close` or its end.
 */
import type { Account } from './account.js';
import { Errno, Refusal, refuse } from './errno.js';
import { DATA_BYTES, type HelperProcess, MOST_CALLS, Sys } from './helper-process.js';
import { OUR_PIDFD } from './helper-start.js';
import { closeIn, countTransfer, PatientHelper } from './patient-helper.js';
import { Ranges } from './ranges.js';
import { areProof, PROCMAP_QUERY, PROOF_BYTES, type Reach } from './reach.js';

const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;

/** Memory that is one part, and what a helper is asked at once: the lengths, of which it has an address. */
const whole = new Ranges();
const asked = new Ranges();

export class RemoteReach implements Reach {
  readonly perSlice = 8;
  readonly #mem: number;
  readonly #maps: number;
  readonly #patient: PatientHelper;
  /** Who has its files, and their numbers there. */
  #helper: HelperProcess | undefined;
  #memThere = -1;
  #mapsThere = -1;

  /** `mem` and `maps` stay the caller's; `account` pays for whoever waits. */
  constructor(account: Account, mem: number, maps: number, description: string) {
    this.#mem = mem;
    this.#maps = maps;
    this.#patient = new PatientHelper(account, description);
  }

  get shortfall(): string | undefined {
    return this.#patient.shortfall;
  }

  ask(query: Uint8Array): number {
    const helper = this.#ready();
    if (helper === undefined) return Errno.ETIMEDOUT;
    helper.data.set(query);
    helper.put(0, Sys.ioctl, this.#mapsThere, PROCMAP_QUERY, helper.dataAt);
    if (!this.#patient.do(helper, 1)) return Errno.ETIMEDOUT;
    query.set(helper.data.subarray(0, query.length));
    return Math.abs(helper.result(0));
  }

  text(target: Uint8Array, position: number): number {
    const helper = this.#ready();
    if (helper === undefined) return -1;
    helper.put(0, Sys.pread, this.#mapsThere, helper.dataAt, target.length, position);
    const length = this.#patient.do(helper, 1) ? helper.result(0) : -1;
    if (length > 0) target.set(helper.data.subarray(0, length));
    return length;
  }

  read(address: number, target: Uint8Array, at: number, length: number): number {
    return this.gather(oneOf(address, length), target, at);
  }

  write(address: number, source: Uint8Array, at: number, length: number): number {
    return this.scatter(oneOf(address, length), source, at);
  }

  gather(ranges: Ranges, target: Uint8Array, at: number): number {
    let done = 0;
    while (done < ranges.length) {
      const length = ask(ranges, done);
      const n = this.#transfer(Sys.pread);
      if (n > 0) target.set(this.#helper!.data.subarray(0, n), at + done);
      done += Math.max(0, n);
      if (n < length) break;
    }
    return done;
  }

  scatter(ranges: Ranges, source: Uint8Array, at: number): number {
    let done = 0;
    while (done < ranges.length) {
      const length = ask(ranges, done);
      const n = this.#transfer(Sys.pwrite, source.subarray(at + done, at + done + length));
      done += Math.max(0, n);
      if (n < length) break;
    }
    return done;
  }

  touch(address: number, length: number): number {
    ask(oneOf(address, Math.min(length, DATA_BYTES)), 0);
    return this.#transfer(Sys.pread);
  }

  has(tid: number, address: number, bytes: Uint8Array): boolean {
    const fresh = this.#open(`/proc/${tid}/mem`, O_RDONLY);
    const helper = this.#helper;
    if (fresh < 0 || helper === undefined) return false;
    helper.put(0, Sys.pread, fresh, helper.dataAt, PROOF_BYTES, address);
    helper.put(1, Sys.close, fresh);
    return this.#patient.do(helper, 2) && helper.result(0) === PROOF_BYTES && areProof(bytes, helper.data);
  }

  nameOfArea(pid: number, range: string): number {
    const there = this.#open(`/proc/${pid}/map_files/${range}`, O_PATH);
    const helper = this.#helper;
    if (there < 0 || helper === undefined) return -1;
    try {
      return helper.take(there);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return -1;
    } finally {
      helper.put(0, Sys.close, there);
      this.#patient.do(helper, 1);
    }
  }

  close(): void {
    const helper = this.#helper;
    this.#helper = undefined;
    if (helper !== undefined) closeIn(helper, this.#memThere, this.#mapsThere);
  }

  /**
   * A pread or pwrite of /proc/PID/mem for each part of `asked`. @returns the bytes up to the first that was
   * not transferred, and no other was; or where there are none, what the first call has returned; -EFAULT:
   * it has not.
   */
  #transfer(call: number, source?: Uint8Array): number {
    countTransfer();
    const { count, addresses, lengths } = asked;
    if (count === 0) return 0;
    const helper = this.#ready();
    if (helper === undefined) return -Errno.EFAULT;
    if (source !== undefined) helper.data.set(source);
    for (let part = 0, at = helper.dataAt; part < count; at += lengths[part++]!) {
      helper.put(part, call, this.#memThere, at, lengths[part]!, addresses[part]!);
      helper.require(part, lengths[part]!);
    }
    const answered = this.#patient.do(helper, count, addresses);
    const returned = helper.returned(count);
    if (returned === 0) return -Errno.EFAULT;
    let done = 0;
    for (let part = 0; part < returned; part++) done += Math.max(0, helper.result(part));
    return done === 0 && answered ? helper.result(0) : done;
  }

  /** Opens a file of /proc there. @returns its number there; negative: there is none. */
  #open(path: string, flags: number): number {
    const helper = this.#ready();
    if (helper === undefined) return -1;
    Buffer.from(helper.data.buffer, helper.data.byteOffset).write(`${path}\0`, 'latin1');
    helper.put(0, Sys.openat, AT_FDCWD, helper.dataAt, flags | O_CLOEXEC, 0);
    return this.#patient.do(helper, 1) ? helper.result(0) : -1;
  }

  /** The helper, which has our files; undefined: it must not be asked now, and `shortfall` is why. */
  #ready(): HelperProcess | undefined {
    const helper = this.#patient.ready;
    if (helper === undefined || helper === this.#helper) return helper;
    try {
      this.#introduce(helper);
      return helper;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#patient.shortfall = error.reason;
      return undefined;
    }
  }

  /** Gives `helper` our files. @throws Refusal */
  #introduce(helper: HelperProcess): void {
    helper.put(0, Sys.pidfd_getfd, OUR_PIDFD, this.#mem, 0);
    helper.put(1, Sys.pidfd_getfd, OUR_PIDFD, this.#maps, 0);
    if (!this.#patient.do(helper, 2)) refuse('EAGAIN', this.shortfall!);
    const [mem, maps] = [helper.result(0), helper.result(1)];
    if (mem < 0 || maps < 0)
      throw new Refusal(-Math.min(mem, maps), 'the helper process cannot have files of the server');
    [this.#helper, this.#memThere, this.#mapsThere] = [helper, mem, maps];
  }
}

/** Memory that is in one part. */
function oneOf(address: number, length: number): Ranges {
  whole.clear();
  if (length > 0) whole.add(address, length);
  return whole;
}

/** Makes `asked` what a helper does at once of `ranges` from byte `offset` on. @returns its bytes. */
function ask(ranges: Ranges, offset: number): number {
  asked.clear();
  asked.appendOf(ranges, offset, ranges.within(offset, DATA_BYTES, MOST_CALLS));
  return asked.length;
}
