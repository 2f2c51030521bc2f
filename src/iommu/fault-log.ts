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
  /** As the device has given it. */
  readonly pasid: number;
  /** True when a write was attempted. */
  readonly write: boolean;
  /** One sentence: why. */
  readonly reason: string;
}

/** An entry of the log. `rid` is the requester id as text, `0000:6a:01.0`. */
export interface Fault {
  /** Of the device. */
  readonly rid: string;
  /** 0: the request carried none. */
  readonly pasid: number;
  /** The first that could not be reached. */
  readonly iova: number;
  /** It was a write. */
  readonly write: boolean;
  /** Why, in one sentence. */
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

/** An entry of the log, with its place in it and its time. */
export type FaultRecord = Logged<Fault>;

export class FaultLog extends EventLog<Fault> {}
