/**
 * Trees of attributes whose writes are recorded where the machine is to be done again: what is written below
 * /sys changes it as calls on its files do. A read changes nothing.
 *
 * What is read and found is the attributes' own, and one thing stays one entry.
 */
import type { Attribute, BinaryAttribute, Entry, Folder } from '../file/attributes.js';
import { after, type Sliced } from '../file/work.js';
import type { SysfsFolder } from '../sysfs/bus-device.js';
import { copied } from './copied.js';
import type { Trace } from './trace.js';
import { begin, recorded, sliced } from './traced-file.js';

/** Where the folders are: what is recorded there has its whole path. */
export const SYSFS = '/sys/';

/** `folders`, by their paths below /sys, whose writes are recorded in `trace`. */
export function tracedFolders(trace: Trace, folders: readonly SysfsFolder[]): SysfsFolder[] {
  const tracing = new Tracing(trace);
  return folders.map(([path, folder]) => [path, tracing.folder(folder, SYSFS + path)]);
}

class Tracing {
  readonly #trace: Trace;
  readonly #known = new WeakMap<Entry, Entry>();

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  folder(folder: Folder, path: string): Folder {
    const of = (name: string, entry: Entry) => this.#entry(entry, `${path}/${name}`);
    return {
      kind: 'folder',
      entries: () => new Map([...folder.entries()].map(([name, entry]) => [name, of(name, entry)])),
    };
  }

  #entry(entry: Entry, path: string): Entry {
    const known = this.#known.get(entry);
    if (known !== undefined) return known;
    const traced = this.#traced(entry, path);
    this.#known.set(entry, traced);
    return traced;
  }

  #traced(entry: Entry, path: string): Entry {
    switch (entry.kind) {
      case 'folder':
        return this.folder(entry, path);
      case 'attribute':
        return this.#attribute(entry, path);
      case 'binary':
        return this.#binary(entry, path);
      case 'link':
        return entry;
    }
  }

  #attribute(attribute: Attribute, path: string): Attribute {
    const { store } = attribute;
    if (store === undefined) return attribute;
    const traced = (text: string): Sliced<void> => {
      if (!this.#trace.inputs.on) return store(text);
      const { begun, details } = this.#write(path, undefined, Buffer.from(text, 'latin1'));
      const written = sliced(this.#trace, begun, details, () => after(store(text), () => text.length));
      return after(written, () => undefined);
    };
    return { ...attribute, store: traced };
  }

  #binary(attribute: BinaryAttribute, path: string): BinaryAttribute {
    const { write } = attribute;
    const traced = (offset: number, source: Uint8Array): void => {
      if (!this.#trace.inputs.on) {
        write(offset, source);
        return;
      }
      const { begun, details } = this.#write(path, offset, source);
      recorded(this.#trace, begun, details, () => {
        write(offset, source);
        return source.length;
      });
    };
    return { ...attribute, write: traced };
  }

  /** A write that begins, and what it is about. */
  #write(path: string, offset: number | undefined, source: Uint8Array) {
    const { length } = source;
    const transfer = { offset, place: undefined, length, layout: undefined, bytes: copied(source) };
    const begun = begin(this.#trace, 'write', path, undefined, 'call');
    return { begun, details: () => ({ transfer }) };
  }
}
