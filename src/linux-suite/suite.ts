/** Linux's own suite for iommufd, tools/testing/selftests/iommu: fetched and built, unmodified. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cacheFolder, command, kernelSource, library, newestMade, takeHeaders } from './debian-source.js';

/** Where Debian has the sources of a kernel: the package, and the suite of the archive that it is in. */
const PACKAGES = {
  '6.12': ['linux-source-6.12', 'bookworm-backports'],
  '7.3': ['linux-source-7.3', 'trixie-backports'],
} as const;
export type KernelVersion = keyof typeof PACKAGES;
export const kernelVersions = Object.keys(PACKAGES) as readonly KernelVersion[];

/** Its library is part of 7.3's suite, which gives up rights to see what is refused without them. */
const LIBCAP = ['libcap-dev', 'bookworm'] as const;

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
  const cache = cacheFolder();
  const made = newestMade(cache, `suite-${kernel}.`, 'iommufd');
  const folder = made === undefined ? makeSuite(cache, kernel) : join(cache, made);
  return { version: basename(folder).slice('suite-'.length), program: join(folder, 'iommufd') };
}

function makeSuite(cache: string, kernel: KernelVersion): string {
  const folder = kernelSource(cache, 'suite', PACKAGES[kernel], NEEDED);
  build(folder, library(cache, LIBCAP, join(folder, 'libcap'), 'libcap.a'));
  return folder;
}

function build(folder: string, [libcap, headersOfLibcap]: readonly [string, string]): void {
  const source = join(folder, 'source');
  const newHeaders = takeHeaders(folder, ['iommufd.h', 'vfio.h']);
  const known = HEADERS.map((header) => readFileSync(join(source, header), 'utf8')).join();
  const missing = Object.entries(LATER_NAMES).filter(([name]) => !known.includes(name));
  const suite = join(source, 'tools/testing/selftests');
  const flags = [
    '-w',
    '-O2',
    '-D_GNU_SOURCE=',
    '-D__user=',
    '-D__counted_by(member)=',
    ...missing.map(([name, value]) => `-D${name}=${value}`),
  ];
  const include = [newHeaders, headersOfLibcap, suite].flatMap((path) => ['-I', path]);
  const program = join(folder, 'iommufd');
  command('gcc', [...flags, ...include, '-o', program, join(suite, 'iommu/iommufd.c'), libcap], folder);
}
