/**
 * HelpedCopy: copies to and from the files that this process has mapped, by a helper process, which waits for
 * their pages in place of us (file-waits.ts).
 *
 * It calls process_vm_readv(2) and process_vm_writev(2), not pread and pwrite of our /proc/PID/mem: those
 * would hold the lock of our address space while they wait, and we would wait for that as soon as we map
 * anything.
 */
import type { Account } from './account.js';
import { DATA_BYTES, Sys } from './helper-process.js';
import { countTransfer, PatientHelper } from './patient-helper.js';

export class HelpedCopy {
  readonly #patient: PatientHelper;
  readonly #addresses = new Float64Array(1);

  /** `account` pays for who waits. */
  constructor(account: Account) {
    this.#patient = new PatientHelper(account, `files of ${account.opener}`);
  }

  /** Why the last call stopped, where there is more to say than that nothing is there. */
  get shortfall(): string | undefined {
    return this.#patient.shortfall;
  }

  /** Copies from our `address` to `target[at..]`. @returns the bytes copied: fewer where there is no page. */
  read(address: number, target: Uint8Array, at: number, length: number): number {
    return this.#copy(Sys.process_vm_readv, address, target, at, length);
  }

  /** Copies from `source[at..]` to our `address`. Returns as `read` does. */
  write(address: number, source: Uint8Array, at: number, length: number): number {
    return this.#copy(Sys.process_vm_writev, address, source, at, length);
  }

  #copy(call: number, address: number, buffer: Uint8Array, at: number, length: number): number {
    let done = 0;
    while (done < length) {
      const part = buffer.subarray(at + done, at + Math.min(length, done + DATA_BYTES));
      const copied = this.#transfer(call, address + done, part);
      done += copied;
      if (copied < part.length) break;
    }
    return done;
  }

  /** @returns the bytes of `part` that were copied. */
  #transfer(call: number, address: number, part: Uint8Array): number {
    countTransfer();
    const helper = this.#patient.ready;
    if (helper === undefined) return 0;
    if (call === Sys.process_vm_writev) helper.data.set(part);
    helper.putVectors(call, process.pid, helper.dataAt, address, part.length);
    this.#addresses[0] = address;
    if (!this.#patient.do(helper, 1, this.#addresses)) return 0;
    const copied = Math.max(0, helper.result(0));
    if (call === Sys.process_vm_readv) part.set(helper.data.subarray(0, copied));
    return copied;
  }
}
