/**
 * DescriptorNumber: by which number a caller means an open file, as far as a trace says it.
 *
 * Asking the kernel costs as much as a short call. A number that was found is taken for right for ten
 * milliseconds, while its caller goes on calling; a copy that replaces it meanwhile is told by the old one.
 */
import type { Caller, OpenFile } from '../file/open-file.js';

const SURE_MS = 10;

export class DescriptorNumber {
  #tid: number | undefined;
  #fd: number | undefined;
  #until = 0;

  /** The descriptor by which `caller` calls `file` at `now` (performance.now); undefined: it is not known. */
  of(file: OpenFile, caller: Caller, now: number): number | undefined {
    const { tid } = caller;
    if (tid && tid === this.#tid && now < this.#until) return this.#fd;
    this.#fd = caller.descriptorOf?.(file);
    this.#tid = tid;
    this.#until = now + SURE_MS;
    return this.#fd;
  }
}
