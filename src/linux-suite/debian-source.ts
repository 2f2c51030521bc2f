/**
 * Sources and libraries out of Debian's packages, for suites of foreign programs: fetched and unpacked into a
 * cache outside the repository, unmodified.
 *
 * The sources are GPL-2.0: they are run as programs, and nothing of them comes into this project.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A package, and the suite of the archive that it is in. */
export type Package = readonly [name: string, suite: string];

const MINUTES_10 = 600_000;
const scripts = fileURLToPath(new URL('../../scripts/', import.meta.url));

export function cacheFolder(): string {
  return command(join(scripts, 'cache.sh'), [], '.').trim();
}

/** The newest folder `PREFIX*` of the cache in which `file` is. */
export function newestMade(cache: string, prefix: string, file: string): string | undefined {
  return readdirSync(cache)
    .filter((name) => name.startsWith(prefix) && existsSync(join(cache, name, file)))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .at(-1);
}

/**
 * A folder `PREFIX-VERSION` of the cache, and in its `source` those files and folders of a kernel's source
 * that are `needed`.
 */
export function kernelSource(
  cache: string,
  prefix: string,
  what: Package,
  needed: readonly string[],
): string {
  const deb = fetchPackage(cache, what);
  const folder = join(cache, `${prefix}-${command('dpkg-deb', ['-f', deb, 'Version'], '.').trim()}`);
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, 'source'))) unpack(deb, what[0], folder, needed);
  rmSync(deb);
  return folder;
}

/** The headers `names` of the source's ABI, newer than the system's. @returns the folder that has linux/. */
export function takeHeaders(folder: string, names: readonly string[]): string {
  const headers = join(folder, 'include/linux');
  mkdirSync(headers, { recursive: true });
  for (const name of names) cpSync(join(folder, 'source/include/uapi/linux', name), join(headers, name));
  return join(folder, 'include');
}

/** Unpacks a library into `folder`. @returns its static library `name`, and the folder of its headers. */
export function library(
  cache: string,
  what: Package,
  folder: string,
  name: string,
): readonly [string, string] {
  const deb = fetchPackage(cache, what);
  command('dpkg-deb', ['-x', deb, folder], '.');
  rmSync(deb);
  const libraries = join(folder, 'usr/lib');
  const architecture = readdirSync(libraries).find((each) => existsSync(join(libraries, each, name)));
  return [join(libraries, architecture!, name), join(folder, 'usr/include')];
}

/** @returns its output. @throws Error naming the command that failed. */
export function command(file: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(file, args, { cwd, encoding: 'utf8', timeout: MINUTES_10 });
  if (status !== 0)
    throw new Error(
      `${file} ${args.slice(0, 2).join(' ')}: ${stderr.trim().split('\n').slice(0, 3).join('; ')}`,
    );
  return stdout;
}

/** @returns the path of the package. */
function fetchPackage(cache: string, what: Package): string {
  return command(join(scripts, 'debian-package.sh'), [cache, ...what], '.').trim();
}

function unpack(deb: string, name: string, folder: string, needed: readonly string[]): void {
  command('dpkg-deb', ['-x', deb, 'package'], folder);
  const partial = join(folder, 'source.partial');
  mkdirSync(partial, { recursive: true });
  const archive = join(folder, 'package/usr/src', `${name}.tar.xz`);
  const paths = needed.map((path) => `${name}/${path}`);
  command('tar', ['-xJf', archive, '-C', partial, '--strip-components=1', ...paths], folder);
  renameSync(partial, join(folder, 'source'));
  rmSync(join(folder, 'package'), { recursive: true });
}
