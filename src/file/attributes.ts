/**
 * Trees of attributes, as sysfs has them: folders, symbolic links, and files that are one value each.
 *
 * A tree is asked for its names whenever somebody looks, so a name is there exactly as long as what it stands
 * for, and nobody has to be told when it comes or goes. One thing is one entry, the same object each time.
 */
import { type Refusal, refuse } from '../linux/errno.js';
import type { Caller, FileCall, OpenFile } from './open-file.js';
import { after, type Sliced } from './work.js';

/** The size that stat(2) tells of every attribute, and the most that one write can bring: a page. */
export const ATTRIBUTE_SIZE = 4096;

/** A value as a file: it can be read when it has `show`, and written when it has `store`. */
export interface Attribute {
  readonly kind: 'attribute';
  /** Permission bits. Absent: everybody may read it, its owner may write it, as far as that can be done. */
  readonly mode?: number;
  /** What a read gets, one character per byte. @throws Refusal. */
  readonly show?: () => string;
  /**
   * Takes what one write brought, up to its first NUL, one character per byte. @throws Refusal; nothing has
   * changed then.
   */
  readonly store?: (text: string) => Sliced<void>;
  /** What a store uses, as OpenFile.uses. Absent: nothing. */
  readonly uses?: () => readonly object[];
  /** What an open of it opens. Absent: an AttributeFile. */
  readonly open?: (caller: Caller) => OpenFile;
}

/** Bytes at offsets as a file (Linux: a `bin_attribute`). It ends at `size`, for reads and for writes. */
export interface BinaryAttribute {
  readonly kind: 'binary';
  readonly mode: number;
  readonly size: number;
  /** Fills `target` from `offset` on, for who has opened it. @returns the bytes read, which may be fewer. */
  readonly read: (offset: number, target: Uint8Array, opener: Opener) => number;
  /** Takes all of `source`. @throws Refusal; nothing has changed then. */
  readonly write: (offset: number, source: Uint8Array) => void;
  /** As of Attribute; absent: a BinaryFile. */
  readonly uses?: () => readonly object[];
  readonly open?: (caller: Caller) => OpenFile;
}

/** What a file remembers of who has opened it. */
export interface Opener {
  /** Had it CAP_SYS_ADMIN? */
  readonly isAdmin: boolean;
}

export interface Link {
  readonly kind: 'link';
  /** Where it leads, from the folder that it is in. */
  readonly target: string;
}

export interface Folder {
  readonly kind: 'folder';
  /** What is in it now, by name. */
  entries(): ReadonlyMap<string, Entry>;
}

export type Entry = Attribute | BinaryAttribute | Link | Folder;

/** A folder of names that stay. */
export function folderOf(entries: Iterable<readonly [string, Entry]>): Folder {
  const map = new Map(entries);
  return { kind: 'folder', entries: () => map };
}

/** The permission bits of an attribute. */
export function modeOf(attribute: Attribute | BinaryAttribute): number {
  if (attribute.kind === 'binary') return attribute.mode;
  const { mode, show, store } = attribute;
  return mode ?? (show ? 0o444 : 0) | (store ? 0o200 : 0);
}

/** An attribute is opened. */
export function openAttribute(attribute: Attribute | BinaryAttribute, caller: Caller): OpenFile {
  if (attribute.open !== undefined) return attribute.open(caller);
  return attribute.kind === 'binary' ? new BinaryFile(attribute, caller) : new AttributeFile(attribute);
}

/**
 * An open attribute. It is read as kernfs has it: a read at the beginning, or elsewhere than where the last
 * one ended, gets the text of that moment; one that goes on gets the rest of the same text. A write is one
 * value, whatever its offset.
 */
export class AttributeFile implements OpenFile {
  readonly object = this;
  lastRefusal: Refusal | undefined;
  readonly #attribute: Attribute;
  #text: Uint8Array = new Uint8Array(0);
  /** Where the last read ended. */
  #end = 0;

  constructor(attribute: Attribute) {
    this.#attribute = attribute;
  }

  readonly uses = (call: FileCall) => (call === 'write' ? (this.#attribute.uses?.() ?? []) : []);

  ioctl(): number {
    return refuse('ENOTTY', 'an attribute has no ioctls');
  }

  read(_caller: Caller, offset: number, target: Uint8Array): number {
    const { show } = this.#attribute;
    if (offset === 0 || offset !== this.#end)
      this.#text = Buffer.from(show?.() ?? refuse('EIO', 'this attribute cannot be read'), 'latin1');
    const rest = this.#text.subarray(offset, offset + target.length);
    target.set(rest);
    this.#end = offset + rest.length;
    return rest.length;
  }

  write(_caller: Caller, _offset: number, source: Uint8Array): Sliced<number> {
    const { store } = this.#attribute;
    if (store === undefined) refuse('EIO', 'this attribute cannot be written');
    const length = Math.min(source.length, ATTRIBUTE_SIZE);
    const [text] = Buffer.from(source.subarray(0, length)).toString('latin1').split('\0', 1);
    return after(store(text!), () => length);
  }

  flush(): void {}

  release(): void {}
}

/** An open attribute of bytes. */
export class BinaryFile implements OpenFile {
  readonly object = this;
  lastRefusal: Refusal | undefined;
  readonly #attribute: BinaryAttribute;
  readonly #opener: Opener;

  constructor(attribute: BinaryAttribute, caller: Caller) {
    this.#attribute = attribute;
    this.#opener = { isAdmin: caller.isAdmin ?? true };
  }

  readonly uses = () => this.#attribute.uses?.() ?? [];

  ioctl(): number {
    return refuse('ENOTTY', 'an attribute of bytes has no ioctls');
  }

  read(_caller: Caller, offset: number, target: Uint8Array): number {
    const length = this.#lengthAt(offset, target.length);
    return length === 0 ? 0 : this.#attribute.read(offset, target.subarray(0, length), this.#opener);
  }

  write(_caller: Caller, offset: number, source: Uint8Array): number {
    const length = this.#lengthAt(offset, source.length);
    if (length > 0) this.#attribute.write(offset, source.subarray(0, length));
    return length;
  }

  flush(): void {}

  release(): void {}

  #lengthAt(offset: number, length: number): number {
    return Math.max(0, Math.min(length, this.#attribute.size - offset));
  }
}
