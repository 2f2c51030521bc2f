/**
 * Trees of attributes whose files are traced: programs read and write below /sys as they call device files,
 * and what is written there changes a machine as those calls do.
 *
 * What is found is the attributes' own, and one thing stays one entry.
 */
import { type Entry, type Folder, openAttribute } from '../file/attributes.js';
import type { SysfsFolder } from '../sysfs/bus-device.js';
import type { Trace } from './trace.js';
import { openTraced } from './traced-file.js';

/** `folders`, by their paths below /sys, whose files have their calls recorded in `trace`. */
export function tracedFolders(trace: Trace, folders: readonly SysfsFolder[]): SysfsFolder[] {
  const tracing = new Tracing(trace);
  return folders.map(([path, folder]) => [path, tracing.folder(folder, `/sys/${path}`)]);
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
      case 'binary': {
        const node = { path, open: openAttribute.bind(undefined, entry) };
        return { ...entry, open: (caller) => openTraced(this.#trace, node, caller) };
      }
      case 'link':
        return entry;
    }
  }
}
