/**
 * What the inspector is about, as data: the items that a machine consists of at one moment, each under a key
 * that is its own for as long as it lives, and the answers to what is asked about them.
 *
 * The machine's side writes it (items.ts, questions.ts), the page reads it; nothing here does anything.
 * Numbers of 64 bits are text, `0x1000`, since JSON's readers do not have them all.
 */
import type { TraceEvent } from '../trace/event.js';

/** An open /dev/ioasid, /dev/iommu or container: what its PASIDs and address spaces are in. */
export interface ContextItem {
  readonly type: 'context';
  readonly abi: 'ioasid' | 'iommufd';
  readonly id: number;
  /** The process that opened it. */
  readonly pid: number;
}

export interface Mapping {
  readonly iova: string;
  readonly length: string;
  /** Bits: 1 read, 2 write. */
  readonly access: number;
  readonly memory: string;
  readonly offset: string;
}

/** What a PASID stands for, an IOAS, or another address space that a device has an entry for. */
export interface SpaceItem {
  readonly type: 'space';
  /** The key of its context; absent: it is of none that is listed. */
  readonly context?: string;
  /** As reasons name it: `PASID 7`, `IOAS 2`. */
  readonly name: string;
  readonly kind: 'mapped' | 'nested' | 'process';
  /** Of a nested one the key of its parent; of one of kind process whose memory it is. */
  readonly parent?: string;
  readonly of?: string;
  /** How many mappings it has, and those that are listed. */
  readonly count: number;
  readonly mappings: readonly Mapping[];
}

export interface DeviceItem {
  readonly type: 'device';
  readonly name: string;
  /** The `--device` argument that made it. */
  readonly spec: string;
  readonly rid: string;
  readonly mdev: boolean;
  /** Its program names address spaces by ASIDs. */
  readonly asids: boolean;
  /** The process that has it open. */
  readonly pid?: number;
  readonly busy: boolean;
  /** Errno and reason of what was refused last on its file. */
  readonly refused?: string;
}

/** A device may use a PASID: it has an entry for it. */
export interface UseItem {
  readonly type: 'use';
  /** Keys. */
  readonly device: string;
  readonly space?: string;
  readonly pasid: number;
  /** The number by which its program means it. */
  readonly vpasid: number;
}

/** An open file of a program. */
export interface OpenItem {
  readonly type: 'open';
  readonly path: string;
  /** The process that opened it, when that is known. */
  readonly pid?: number;
  /** What that calls itself: chosen by the program. */
  readonly program?: string;
  /** By which descriptor it means the file, when it has called it while calls are traced. */
  readonly fd?: number;
  /** The key of the context or device that it stands for. */
  readonly target?: string;
}

/** There is more than is listed. */
export interface MoreItem {
  readonly type: 'more';
}

export type Item = ContextItem | SpaceItem | DeviceItem | UseItem | OpenItem | MoreItem;

/** Items by their keys, each as the JSON of it: what has not changed is the same text. */
export type ItemTexts = ReadonlyMap<string, string>;

/** A machine. Two versions differ if anything was called or transferred in between. */
export interface Pulled {
  /** That of when the look began. */
  readonly version: number;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** Absent: as they were. */
  readonly items?: readonly (readonly [key: string, text: string])[];
  /** What has happened since the last time, oldest first. */
  readonly events: readonly TraceEvent[];
}

/** What has become of the items from one moment to the next. */
export interface Frame {
  /** Frames are numbered from 0 on. */
  readonly number: number;
  readonly time: number;
  /** Items that are new or have changed, as JSON. */
  readonly changed: Readonly<Record<string, string>>;
  readonly gone: readonly string[];
}

/** An event, with the number of the frame that shows what it has led to. */
export interface FramedEvent {
  readonly frame: number;
  readonly event: TraceEvent;
}

/** What a page is told: frames and events from one number on. */
export interface News {
  /** The page has to forget what it knows: the first frame is a whole one. */
  readonly whole: boolean;
  readonly frames: readonly Frame[];
  readonly events: readonly FramedEvent[];
  /** How many frames and events the page knows with these. */
  readonly next: { readonly frames: number; readonly events: number };
  /** The server that is looked at has ended. */
  readonly ended: boolean;
}

/** One check on the way of a DMA, or one step of a walk. `passed` null: it is told only. */
export interface Check {
  readonly name: string;
  readonly passed: boolean | null;
  readonly says: string;
}

/** What can be asked about a machine. */
export type Question =
  | {
      readonly ask: 'reach';
      readonly device: string;
      readonly vpasid: number;
      readonly iova: string;
      readonly write: boolean;
    }
  | { readonly ask: 'walk'; readonly space: string; readonly iova: string; readonly write: boolean }
  | { readonly ask: 'mappings'; readonly space: string; readonly from: string };

/** `mappings`: the next of them, 500 at most; the others the checks in their order. */
export type Answer =
  | { readonly checks: readonly Check[] }
  | { readonly mappings: readonly Mapping[] }
  | { readonly error: string };
