/**
 * Linux's own suite for iommufd, tools/testing/selftests/iommu: fetched as Debian's source package, unpacked and built in a cache outside the
 * repository, unmodified.
 *
 * The sources are GPL-2.0: they are run as a program, and nothing of them comes into this project.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const PACKAGE = 'linux-source-6.12';
const MINUTES_10 = 600_000;

/** What of the source is needed: the suite, its harness, the header of the test interface, and two headers newer than the system's. */
const NEEDED = [
  'tools/testing/selftests/iommu',
  'tools/testing/selftests/kselftest.h',
  'tools/testing/selftests/kselftest_harness.h',
  'drivers/iommu/iommufd/iommufd_test.h',
  'include/uapi/linux/iommufd.h',
  'include/uapi/linux/vfio.h',
];

/**
 * Names that 6.12.117's suite uses and its own headers have not, because fixes that came back from later versions brought them into the one
 * and not into the others. Those that are missing are given on the command line: constants with the values of Linux 7.3, and for the fields that 7.3
 * has added to `struct iommu_hw_info` those that lie in the same place.
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
export function prepareSuite(): Suite {
  const version = candidate();
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'ioasid', `suite-${version}`);
  const program = join(folder, 'iommufd');
  if (!existsSync(program)) {
    mkdirSync(folder, { recursive: true });
    if (!existsSync(join(folder, 'source'))) unpack(folder);
    build(folder, program);
  }
  return { version, program };
}

function candidate(): string {
  const policy = command('apt-cache', ['policy', PACKAGE], '.');
  return (
    /Candidate: (\d\S*)/.exec(policy)?.[1] ??
    fail(`apt knows no package ${PACKAGE}: is bookworm-security or bookworm-backports configured?`)
  );
}

function unpack(folder: string): void {
  command('apt-get', ['download', PACKAGE], folder);
  const deb = readdirSync(folder).find((name) => name.endsWith('.deb')) ?? fail(`apt-get download ${PACKAGE} has left no package`);
  command('dpkg-deb', ['-x', deb, 'package'], folder);
  const partial = join(folder, 'source.partial');
  mkdirSync(partial, { recursive: true });
  const archive = join(folder, 'package/usr/src', `${PACKAGE}.tar.xz`);
  command('tar', ['-xJf', archive, '-C', partial, '--strip-components=1', ...NEEDED.map((path) => `${PACKAGE}/${path}`)], folder);
  renameSync(partial, join(folder, 'source'));
  for (const name of [deb, 'package']) rmSync(join(folder, name), { recursive: true });
}

function build(folder: string, program: string): void {
  const source = join(folder, 'source');
  const headers = join(folder, 'include/linux');
  mkdirSync(headers, { recursive: true });
  for (const name of ['iommufd.h', 'vfio.h']) command('cp', [join(source, 'include/uapi/linux', name), headers], folder);
  const known = HEADERS.map((header) => readFileSync(join(source, header), 'utf8')).join();
  const missing = Object.entries(LATER_NAMES).filter(([name]) => !known.includes(name));
  const suite = join(source, 'tools/testing/selftests');
  const flags = ['-w', '-O2', '-D_GNU_SOURCE=', '-D__user=', ...missing.map(([name, value]) => `-D${name}=${value}`)];
  command('gcc', [...flags, '-I', join(folder, 'include'), '-I', suite, '-o', program, join(suite, 'iommu/iommufd.c')], folder);
}

function command(file: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(file, args, { cwd, encoding: 'utf8', timeout: MINUTES_10 });
  if (status !== 0) fail(`${file} ${args.slice(0, 2).join(' ')}: ${stderr.trim().split('\n').slice(0, 3).join('; ')}`);
  return stdout;
}

function fail(reason: string): never {
  throw new Error(reason);
}
