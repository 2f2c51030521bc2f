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
    let done = 0;
    while (done < length) {
      const step = Math.min(length - done, DATA_BYTES);
      const data = this.#transfer(Sys.process_vm_readv, address + done, step);
      if (data === undefined) break;
      target.set(data, at + done);
      done += data.length;
      if (data.length < step) break;
    }
    return done;
  }

  /** Copies from `source[at..]` to our `address`. Returns as `read` does. */
  write(address: number, source: Uint8Array, at: number, length: number): number {
    let done = 0;
    while (done < length) {
      const step = Math.min(length - done, DATA_BYTES);
      const part = source.subarray(at + done, at + done + step);
      const data = this.#transfer(Sys.process_vm_writev, address + done, step, part);
      if (data === undefined) break;
      done += data.length;
      if (data.length < step) break;
    }
    return done;
  }

  /** @returns the helper's data, as much of it as was transferred; undefined: nothing. */
  #transfer(call: number, address: number, length: number, source?: Uint8Array): Uint8Array | undefined {
    countTransfer();
    const helper = this.#patient.ready;
    if (helper === undefined) return undefined;
    if (source !== undefined) helper.data.set(source);
    helper.putVectors(call, process.pid, helper.dataAt, address, length);
    this.#addresses[0] = address;
    if (!this.#patient.do(helper, 1, this.#addresses)) return undefined;
    return helper.data.subarray(0, Math.max(0, helper.result(0)));
  }
}
