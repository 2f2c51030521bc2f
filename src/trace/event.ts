/**
 * What happened, as data: one event for each call, DMA, fault, interrupt and note.
 *
 * An event is plain JSON, in which what is undefined is absent: a line for people (lines.ts) is made of it,
 * and it is written as it is for programs (docs/trace.md has the fields). Numbers of 64 bits are text,
 * `0x1000`, since JSON's readers do not have them all.
 */
/** A descriptor that a call named, and what it turned out to be. */
export interface NamedDescriptor {
  readonly fd: number;
  readonly is?: string;
}

/** A field of a struct: a number, one of 64 bits or a text, flags by their names, or a descriptor. */
export type FieldValue = number | string | readonly string[] | NamedDescriptor;

export type Fields = Readonly<Record<string, FieldValue>>;

/** An `access` is a load or store of a mapped BAR that could not be made: which of both is not known. */
export type CallKind = 'open' | 'ioctl' | 'read' | 'write' | 'load' | 'access' | 'mmap' | 'flush' | 'release';

/** Where a file is whose path is told as that of a CallEvent is. */
export function fullPath(path: string): string {
  return path.startsWith('/') ? path : `/dev/${path}`;
}

/** Is it a file below /sys? */
export function isOfSysfs(path: string): boolean {
  return path.startsWith('/sys/');
}

/** One call of a program on a file of ours, when it has ended. */
export interface CallEvent {
  readonly kind: 'call';
  readonly call: CallKind;
  /** The process, and the thread of it when that is known; absent: nobody's (a last close). */
  readonly pid?: number | undefined;
  readonly tid?: number | undefined;
  /** What the thread calls itself: chosen by the program. */
  readonly program?: string | undefined;
  /** The file, below /dev or from / on, and which descriptor of the caller's it was, when that is known. */
  readonly path: string;
  readonly fd?: number | undefined;
  /** An ioctl's name; one that the file does not have by its number, `0x3b72`. */
  readonly name?: string | undefined;
  /** Of a read, write or load: its offset, and what lies there. */
  readonly offset?: string | undefined;
  readonly place?: string | undefined;
  /** Bytes that a read, write or load was for. */
  readonly length?: number | undefined;
  /** The first bytes that were read or written, in hexadecimal. */
  readonly bytes?: string | undefined;
  /** What the argument said, and what the call has changed in it. */
  readonly input?: Fields | undefined;
  readonly output?: Fields | undefined;
  /** Descriptors that the call named outside of its struct's fields. */
  readonly descriptors?: readonly NamedDescriptor[] | undefined;
  /** What it returned; -1 with an error. */
  readonly result: number;
  readonly error?: string | undefined;
  /** Why it was refused: one sentence. */
  readonly reason?: string | undefined;
  /** Microseconds. */
  readonly duration: number;
}

/** A DMA of a device that went through. */
export interface DmaEvent {
  readonly kind: 'dma';
  readonly rid: string;
  readonly pasid: number;
  readonly write: boolean;
  readonly iova: string;
  readonly length: number;
}

/** A DMA that did not, or not to its end. */
export interface FaultEvent {
  readonly kind: 'fault';
  readonly rid: string;
  readonly pasid: number;
  readonly write: boolean;
  readonly iova: string;
  readonly reason: string;
}

/** A device has raised an interrupt. */
export interface InterruptEvent {
  readonly kind: 'interrupt';
  readonly device: string;
  /** `MSI-X`, `MSI`, `INTx`, `queue`. */
  readonly name: string;
  /** The vector or queue; of INTx the level that its line has now. */
  readonly vector: number;
  /** Why nobody hears of it. */
  readonly lost?: string;
}

/** A device may use a PASID from now on, or no more. */
export interface AuthorizationEvent {
  readonly kind: 'authorized' | 'revoked';
  readonly device: string;
  readonly pasid: number;
  /** The number by which its program means it. */
  readonly vpasid?: number;
}

/** A device asks for a page that its DMA needs. */
export interface PageEvent {
  readonly kind: 'page';
  readonly device: string;
  readonly pasid: number;
  readonly write: boolean;
  readonly iova: string;
}

/** What a device has to say. */
export interface NoteEvent {
  readonly kind: 'note';
  readonly device: string;
  readonly sentence: string;
}

/** More has happened than the server keeps for those who look: so many events are not told. */
export interface LostEvent {
  readonly kind: 'lost';
  readonly count: number;
}

export type Happening =
  | CallEvent
  | DmaEvent
  | FaultEvent
  | InterruptEvent
  | AuthorizationEvent
  | PageEvent
  | NoteEvent
  | LostEvent;

/** With the time of its end: milliseconds since the epoch. */
export type TraceEvent = Happening & { readonly time: number };
