/**
 * BAR 0: the registers (NVM Express Base 2.0 §3.1.3), the doorbells on a page of their own, the MSI-X table
 * on another. What is not here (a controller memory buffer, boot partitions, subsystem reset) reads as zeros,
 * as CAP says of it.
 */
import { Registers } from '../registers.js';
import { VERSION } from './identify.js';
import { MAX_QUEUE_ENTRIES } from './queue-creation.js';

export const BAR_SIZE = 0x4000;
export const MSIX_TABLE_OFFSET = 0x2000;
export const MSIX_PBA_OFFSET = 0x3000;
/** Programs that map this page may have it as memory while the controller works (docs/devices.md). */
export const DOORBELLS = { offset: 0x1000, size: 0x1000 };

export const Register = {
  CAP: 0x00,
  VS: 0x08,
  INTMS: 0x0c,
  INTMC: 0x10,
  CC: 0x14,
  CSTS: 0x1c,
  AQA: 0x24,
  ASQ: 0x28,
  ACQ: 0x30,
  CRTO: 0x68,
} as const;

/** Half seconds in which the controller is ready. */
const TIMEOUT = 20;
/** log2 of the largest memory page, in pages of 4 KiB: 64 KiB. */
export const MAX_PAGE_SHIFT = 4;
/** CAP: entries of a queue, which need not be contiguous; the NVM command set; ready with media. */
const CAP_LOW = MAX_QUEUE_ENTRIES | (TIMEOUT << 24);
const CAP_HIGH = (1 << 5) | (MAX_PAGE_SHIFT << 20) | (1 << 27);

/** What writes do. */
export interface RegisterActions {
  configure(value: number): void;
  mask(value: number): void;
  /** Doorbell `index` of all, two for each pair of queues. */
  ring(index: number, value: number): void;
}

export function createRegisters(actions: RegisterActions): Registers {
  const page = 0xffff_ffff_ffff_f000n;
  return new Registers([
    { name: 'CAP', offset: Register.CAP, width: 8, access: 'ro', reset: capabilities() },
    { name: 'VS', offset: Register.VS, width: 4, access: 'ro', reset: VERSION },
    { name: 'INTMS', offset: Register.INTMS, width: 4, access: 'rw', write: (mask) => actions.mask(mask) },
    { name: 'INTMC', offset: Register.INTMC, width: 4, access: 'w1c', write: (mask) => actions.mask(mask) },
    { name: 'CC', offset: Register.CC, width: 4, access: 'rw', write: (value) => actions.configure(value) },
    { name: 'CSTS', offset: Register.CSTS, width: 4, access: 'ro' },
    { name: 'AQA', offset: Register.AQA, width: 4, access: 'rw', bits: 0x0fff_0fff },
    { name: 'ASQ', offset: Register.ASQ, width: 8, access: 'rw', bits: page },
    { name: 'ACQ', offset: Register.ACQ, width: 8, access: 'rw', bits: page },
    { name: 'CRTO', offset: Register.CRTO, width: 4, access: 'ro', reset: TIMEOUT },
    {
      name: 'DOORBELL[]',
      offset: DOORBELLS.offset,
      width: 4,
      access: 'wo',
      count: DOORBELLS.size / 4,
      whole: true,
      write: (value, _high, index) => actions.ring(index, value),
    },
  ]);
}

function capabilities(): bigint {
  return (BigInt(CAP_HIGH) << 32n) | BigInt(CAP_LOW);
}
