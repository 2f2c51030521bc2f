/**
 * The fault log: what DMA was refused, like the fault recording registers of a hardware IOMMU, but with a
 * reason for each.
 */
import { EventLog, type Logged } from './event-log.js';

/** A DMA access that did not happen, or not to its end. IOVAs in bytes. */
export interface DmaFault {
  /** The first IOVA that could not be reached. */
  readonly iova: number;
  /** Bytes transferred before it. */
  readonly done: number;
  readonly pasid: number;
  /** True when a write was attempted. */
  readonly write: boolean;
  /** One sentence: why. */
  readonly reason: string;
}

/** An entry of the log. `rid` is the requester id as text, `0000:6a:01.0`. */
export interface Fault {
  readonly rid: string;
  readonly pasid: number;
  readonly iova: number;
  readonly write: boolean;
  readonly reason: string;
}

/** A DMA that went through. */
export interface Transfer {
  readonly rid: string;
  readonly pasid: number;
  readonly iova: number;
  readonly length: number;
  readonly write: boolean;
}

export type FaultRecord = Logged<Fault>;

export class FaultLog extends EventLog<Fault> {}
