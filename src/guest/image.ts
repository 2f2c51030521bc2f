/**
 * What guests boot from: a kernel, and initramfs of our /init with programs of Debian's (qemu/linux.sh).
 * One without fio is a tenth of one with it.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Entry, initramfs } from '../testkit/initramfs.js';
import { script } from './machine.js';

/** Paths. */
export interface Image {
  readonly kernel: string;
  readonly initrd: string;
  readonly initrdWithFio: string;
  /** With fio and nvme-cli. */
  readonly initrdWithNvme: string;
  /** Debian's e2fsck as a command, with the libraries that it was made for. */
  readonly e2fsck: readonly string[];
}

const sources = fileURLToPath(new URL('../../qemu/', import.meta.url));

/** Makes what is not there yet; what is of this version goes into `work`. */
export function makeImage(work: string): Image {
  const home = script('qemu/linux.sh');
  const base = [
    ...['dev', 'proc', 'sys', 'mnt', 'sbin', 'usr', 'usr/bin', 'usr/sbin', 'mod'].map((path) => ({ path })),
    ...entriesOf(join(home, 'base')),
    ...filesOf(join(home, 'mod'), 'mod'),
    { path: 'bin/records', data: recordsProgram(work) },
    { path: 'say.sh', data: readFileSync(join(sources, 'say.sh')) },
    { path: 'init', data: readFileSync(join(sources, 'linux-init.sh')) },
  ];
  const fio = entriesOf(join(home, 'fio'));
  const library = join(home, 'base/lib');
  return {
    kernel: join(home, 'vmlinuz'),
    initrd: written(join(work, 'initrd'), base),
    initrdWithFio: written(join(work, 'initrd-fio'), [...base, ...fio]),
    initrdWithNvme: written(join(work, 'initrd-nvme'), [...base, ...fio, ...entriesOf(join(home, 'nvme'))]),
    e2fsck: [
      ...[join(home, 'base/lib64/ld-linux-x86-64.so.2'), '--library-path', library],
      join(home, 'base/bin/e2fsck'),
    ],
  };
}

function written(path: string, entries: readonly Entry[]): string {
  writeFileSync(path, initramfs(entries));
  return path;
}

/** Three folders of programs and libraries. */
function entriesOf(root: string): Entry[] {
  return ['bin', 'lib', 'lib64'].flatMap((folder) => [
    { path: folder },
    ...filesOf(join(root, folder), folder),
  ]);
}

/** What is in a folder, as entries below `path`. */
export function filesOf(folder: string, path: string): Entry[] {
  return readdirSync(folder).map((name) => ({
    path: `${path}/${name}`,
    data: readFileSync(join(folder, name)),
  }));
}

function recordsProgram(work: string): Uint8Array {
  const program = join(work, 'records');
  const options = ['-static', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program];
  execFileSync('gcc', [...options, join(sources, 'records.c')], { stdio: ['ignore', 'inherit', 'inherit'] });
  return readFileSync(program);
}
