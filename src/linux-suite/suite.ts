/**
 * Linux's own suite for iommufd, tools/testing/selftests/iommu: fetched as Debian's source package, unpacked
 * and built in a cache outside the repository, unmodified.
 *
 * The sources are GPL-2.0: they are run as a program, and nothing of them comes into this project.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where Debian has the sources of a kernel: the package, and the suite of the archive that it is in. */
const PACKAGES = {
  '6.12': ['linux-source-6.12', 'bookworm-backports'],
  '7.3': ['linux-source-7.3', 'trixie-backports'],
} as const;
export type KernelVersion = keyof typeof PACKAGES;
export const kernelVersions = Object.keys(PACKAGES) as readonly KernelVersion[];

/** Its library is part of 7.3's suite, which gives up rights to see what is refused without them. */
const LIBCAP = ['libcap-dev', 'bookworm'] as const;

const MINUTES_10 = 600_000;
const scripts = fileURLToPath(new URL('../../scripts/', import.meta.url));

/**
 * What of the source is needed: the suite, its harness, the header of the test interface, and two headers
 * newer than the system's.
 */
const NEEDED = [
  'tools/testing/selftests/iommu',
  'tools/testing/selftests/kselftest.h',
  'tools/testing/selftests/kselftest_harness.h',
  'drivers/iommu/iommufd/iommufd_test.h',
  'include/uapi/linux/iommufd.h',
  'include/uapi/linux/vfio.h',
];

/**
 * Names that 6.12.117's suite uses and its own headers have not, because fixes that came back from later
 * versions brought them into the one and not into the others. Those that are missing are given on the command
 * line: constants with the values of Linux 7.3, and for the fields that 7.3 has added to `struct
 * iommu_hw_info` those that lie in the same place.
 */
const LATER_NAMES = {
  MOCK_FLAGS_DEVICE_PASID: '4',
  MOCK_PASID_WIDTH: '20',
  IOMMU_HW_INFO_TYPE_DEFAULT: '0',
  IOMMU_HW_INFO_FLAG_INPUT_TYPE: '1',
  in_data_type: 'out_data_type',
} as const;
const HEADERS = ['drivers/iommu/iommufd/iommufd_test.h', 'include/uapi/linux/iommufd.h'];

export interface Suite {
  /** The version of the package. */
  readonly version: string;
  /** The program. */
  readonly program: string;
}

/** Fetches and builds what is not there yet. @throws Error naming the command that failed. */
export function prepareSuite(kernel: KernelVersion): Suite {
  const cache = command(join(scripts, 'cache.sh'), [], '.').trim();
  return findSuite(cache, kernel) ?? makeSuite(cache, kernel);
}

/** The newest that was made before. */
function findSuite(cache: string, kernel: KernelVersion): Suite | undefined {
  const made = readdirSync(cache)
    .filter((name) => name.startsWith(`suite-${kernel}.`) && existsSync(join(cache, name, 'iommufd')))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const name = made.at(-1);
  return name === undefined
    ? undefined
    : { version: name.slice('suite-'.length), program: join(cache, name, 'iommufd') };
}

function makeSuite(cache: string, kernel: KernelVersion): Suite {
  const deb = fetch(cache, PACKAGES[kernel]);
  const version = command('dpkg-deb', ['-f', deb, 'Version'], '.').trim();
  const folder = join(cache, `suite-${version}`);
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, 'source'))) unpack(deb, PACKAGES[kernel][0], folder);
  rmSync(deb);
  const libcap = fetch(cache, LIBCAP);
  command('dpkg-deb', ['-x', libcap, join(folder, 'libcap')], '.');
  rmSync(libcap);
  const program = join(folder, 'iommufd');
  build(folder, program);
  return { version, program };
}

/** @returns the path of the package. */
function fetch(cache: string, what: readonly [name: string, suite: string]): string {
  return command(join(scripts, 'debian-package.sh'), [cache, ...what], '.').trim();
}

function unpack(deb: string, name: string, folder: string): void {
  command('dpkg-deb', ['-x', deb, 'package'], folder);
  const partial = join(folder, 'source.partial');
  mkdirSync(partial, { recursive: true });
  const archive = join(folder, 'package/usr/src', `${name}.tar.xz`);
  command(
    'tar',
    ['-xJf', archive, '-C', partial, '--strip-components=1', ...NEEDED.map((path) => `${name}/${path}`)],
    folder,
  );
  renameSync(partial, join(folder, 'source'));
  rmSync(join(folder, 'package'), { recursive: true });
}

function build(folder: string, program: string): void {
  const source = join(folder, 'source');
  const headers = join(folder, 'include/linux');
  mkdirSync(headers, { recursive: true });
  for (const name of ['iommufd.h', 'vfio.h'])
    command('cp', [join(source, 'include/uapi/linux', name), headers], folder);
  const known = HEADERS.map((header) => readFileSync(join(source, header), 'utf8')).join();
  const missing = Object.entries(LATER_NAMES).filter(([name]) => !known.includes(name));
  const suite = join(source, 'tools/testing/selftests');
  const libcap = join(folder, 'libcap/usr');
  const flags = [
    '-w',
    '-O2',
    '-D_GNU_SOURCE=',
    '-D__user=',
    '-D__counted_by(member)=',
    ...missing.map(([name, value]) => `-D${name}=${value}`),
  ];
  const include = [join(folder, 'include'), join(libcap, 'include'), suite].flatMap((path) => ['-I', path]);
  const [architecture] = readdirSync(join(libcap, 'lib'));
  command(
    'gcc',
    [
      ...flags,
      ...include,
      '-o',
      program,
      join(suite, 'iommu/iommufd.c'),
      join(libcap, 'lib', architecture!, 'libcap.a'),
    ],
    folder,
  );
}

function command(file: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(file, args, { cwd, encoding: 'utf8', timeout: MINUTES_10 });
  if (status !== 0)
    fail(`${file} ${args.slice(0, 2).join(' ')}: ${stderr.trim().split('\n').slice(0, 3).join('; ')}`);
  return stdout;
}

function fail(reason: string): never {
  throw new Error(reason);
}
