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
  /** What a read gets, one character per byte. @throws Refusal. */
  readonly show?: () => string;
  /**
   * Takes what one write brought, up to its first NUL, one character per byte. @throws Refusal; nothing has
   * changed then.
   */
  readonly store?: (text: string) => Sliced<void>;
  /** What a store uses, as OpenFile.uses. Absent: nothing. */
  readonly uses?: () => readonly object[];
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

export type Entry = Attribute | Link | Folder;

/** A folder of names that stay. */
export function folderOf(entries: Iterable<readonly [string, Entry]>): Folder {
  const map = new Map(entries);
  return { kind: 'folder', entries: () => map };
}

/** The permission bits of an attribute: everybody may read it, its owner may write it. */
export function modeOf({ show, store }: Attribute): number {
  return (show ? 0o444 : 0) | (store ? 0o200 : 0);
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
