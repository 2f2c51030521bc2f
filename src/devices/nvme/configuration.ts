/** CC and CSTS (NVM Express Base 2.0 §3.1.3.5, §3.1.3.6): the fields of their words. */
import { MAX_PAGE_SHIFT } from './register-map.js';

export const Csts = {
  READY: 1,
  FATAL: 2,
  SHUTDOWN: 3 << 2,
  SHUTTING_DOWN: 1 << 2,
  SHUT_DOWN: 2 << 2,
} as const;

export class Configuration {
  readonly enabled: boolean;
  /** The driver wants the controller shut down, in whichever way. */
  readonly shutdown: boolean;
  /** Bytes of a memory page. */
  readonly page: number;
  /** log2 of the bytes of entries of I/O queues. */
  readonly submission: number;
  readonly completion: number;
  /** Is it one that the controller can be enabled with? */
  readonly valid: boolean;

  constructor(cc: number) {
    const pageShift = (cc >>> 7) & 0xf;
    const commandSets = (cc >>> 4) & 7;
    const arbitration = (cc >>> 11) & 7;
    this.enabled = (cc & 1) !== 0;
    this.shutdown = ((cc >>> 14) & 3) !== 0;
    this.page = 4096 << pageShift;
    this.submission = (cc >>> 16) & 0xf;
    this.completion = (cc >>> 20) & 0xf;
    this.valid = pageShift <= MAX_PAGE_SHIFT && commandSets === 0 && arbitration === 0;
  }
}
