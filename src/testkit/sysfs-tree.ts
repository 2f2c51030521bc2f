/** /sys as a program sees it, without one: the folders of a machine, by paths below /sys. */
import assert from 'node:assert/strict';
import type { Attribute, Entry, Folder } from '../file/attributes.js';
import { finished } from '../file/work.js';
import { refusal } from './refused.js';

export class SysfsTree {
  readonly #folders: readonly (readonly [string, Folder])[];

  constructor(folders: readonly (readonly [string, Folder])[]) {
    this.#folders = folders;
  }

  /** What a path leads to; undefined: nothing. */
  at(path: string): Entry | undefined {
    const [root, folder] = this.#folders.find(([each]) => `${path}/`.startsWith(`${each}/`))!;
    let found: Entry | undefined = folder;
    let here = root;
    const names = path === root ? [] : path.slice(root.length + 1).split('/');
    for (const [index, name] of names.entries()) {
      if (name === '.') continue;
      found = found?.kind === 'folder' ? found.entries().get(name) : undefined;
      if (found?.kind !== 'link') here = `${here}/${name}`;
      else if (index < names.length - 1)
        return this.at([resolve(here, found.target), ...names.slice(index + 1)].join('/'));
    }
    return found;
  }

  /** The bytes of a file of bytes, as who has opened it sees them. */
  bytes(path: string, isAdmin = true): Buffer {
    const entry = this.at(path);
    assert.ok(entry?.kind === 'binary', path);
    const bytes = Buffer.alloc(entry.size);
    return bytes.subarray(0, entry.read(0, bytes, { isAdmin }));
  }

  names(path: string): string[] {
    // That of a link is looked for behind it.
    const folder = this.at(path)?.kind === 'link' ? this.at(`${path}/.`) : this.at(path);
    return folder?.kind === 'folder' ? [...folder.entries().keys()] : [];
  }

  read(path: string): string {
    const text = this.#attribute(path).show?.();
    assert.ok(text !== undefined, `${path} can be read`);
    return text.replace(/\n$/, '');
  }

  /** @returns the errno that the write is refused with. */
  write(path: string, text: string): string | undefined {
    const { store } = this.#attribute(path);
    assert.ok(store, `${path} can be written`);
    return refusal(() => finished(store(text)))?.code;
  }

  #attribute(path: string): Attribute {
    const entry = this.at(path);
    assert.equal(entry?.kind, 'attribute', path);
    return entry as Attribute;
  }
}

function resolve(folder: string, target: string): string {
  const parts = folder.split('/');
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}
