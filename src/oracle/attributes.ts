/**
 * Lines about files that are named by their paths, over the attributes of a machine in this process: what
 * `oracle/attributes.c` answers over sysfs.
 */

import type { InProcess } from '../client/in-process.js';
import { type Attribute, AttributeFile, type Entry } from '../file/attributes.js';
import { finished } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { Machine } from '../machine/machine.js';
import { refusal } from '../testkit/refused.js';
import { SysfsTree } from '../testkit/sysfs-tree.js';
import { fromHex, type PlainLine, toHex } from './language.js';

const MOST = 2 * 4096;

/** What `process` is answered. @throws Refusal; undefined: it is no such line. */
export function attributeAnswer(
  machine: Machine,
  process: InProcess,
  { verb, words: [path = '', hex = ''] }: PlainLine,
): string | undefined {
  const tree = new SysfsTree(machine.sysfs);
  const below = path.replace(/^\/sys\//, '');
  switch (verb) {
    case 'show': {
      const target = new Uint8Array(MOST);
      const got = new AttributeFile(opened(tree, below, 'show')).read(process, 0, target);
      return got === 0 ? '0' : `${got} ${toHex(target.subarray(0, got))}`;
    }
    case 'store':
      return `${stored(tree, below, process, fromHex(hex))}`;
    case 'attempt':
      refusal(() => stored(tree, below, process, fromHex(hex)));
      return '0';
    case 'list':
      found(tree, below);
      return ['0', ...tree.names(below).sort()].join(' ');
    default:
      return undefined;
  }
}

/** What is there. @throws Refusal ENOENT. */
function found(tree: SysfsTree, path: string): Entry {
  return tree.at(path) ?? refuse('ENOENT', `/sys/${path} is no path of this machine`);
}

/** An attribute, opened to be read or written. @throws Refusal as open(2). */
function opened(tree: SysfsTree, path: string, right: 'show' | 'store'): Attribute {
  const entry = found(tree, path);
  if (entry.kind !== 'attribute') refuse('EISDIR', `${path} is no attribute`);
  return entry[right] === undefined ? refuse('EACCES', `${path} cannot be opened for that`) : entry;
}

/** A write of nothing brings no value. */
function stored(tree: SysfsTree, path: string, process: InProcess, bytes: Uint8Array): number {
  const attribute = opened(tree, path, 'store');
  return bytes.length === 0 ? 0 : finished(new AttributeFile(attribute).write(process, 0, bytes));
}
