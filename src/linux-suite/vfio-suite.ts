/** Linux 7.3's own suite for VFIO, tools/testing/selftests/vfio: fetched and built, unmodified. */
import { mkdirSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  cacheFolder,
  command,
  kernelSource,
  library,
  newestMade,
  type Package,
  takeHeaders,
} from './debian-source.js';

const SOURCE: Package = ['linux-source-7.3', 'trixie-backports'];
const LIBUUID: Package = ['uuid-dev', 'bookworm'];
const PREFIX = 'vfio-suite';
/** What says that all programs were built. */
const COMPLETE = 'complete';

/** What of the source is needed: the suite, its harness, and headers, some of drivers. */
const NEEDED = [
  'tools/testing/selftests/vfio',
  'tools/testing/selftests/kselftest.h',
  'tools/testing/selftests/kselftest_harness.h',
  'tools/include',
  'tools/arch/x86/include',
  'drivers/dma/idxd/registers.h',
  'drivers/dma/ioat',
  'drivers/net/ethernet/intel/igb',
  'include/linux/pci_ids.h',
  'include/uapi/linux',
];

export interface VfioSuite {
  /** The version of the package. */
  readonly version: string;
  /** The folder of its programs. */
  readonly folder: string;
  readonly programs: readonly string[];
}

/** Fetches and builds what is not there yet. @throws Error naming the command that failed. */
export function prepareVfioSuite(): VfioSuite {
  const cache = cacheFolder();
  const made = newestMade(cache, `${PREFIX}-`, COMPLETE);
  const folder = made === undefined ? makeSuite(cache) : join(cache, made);
  const programs = join(folder, 'programs');
  return {
    version: basename(folder).slice(PREFIX.length + 1),
    folder: programs,
    programs: readdirSync(programs).filter((name) => name.endsWith('_test')),
  };
}

function makeSuite(cache: string): string {
  const folder = kernelSource(cache, PREFIX, SOURCE, NEEDED);
  build(folder, library(cache, LIBUUID, join(folder, 'libuuid'), 'libuuid.a'));
  command('touch', [join(folder, COMPLETE)], folder);
  return folder;
}

/** As the suite's Makefile builds it: each program of one source, with all of its library. */
function build(folder: string, [libuuid, headersOfLibuuid]: readonly [string, string]): void {
  const tools = join(folder, 'source/tools');
  const suite = join(tools, 'testing/selftests/vfio');
  const headers = takeHeaders(folder, ['vfio.h', 'iommufd.h', 'idxd.h']);
  const include = [
    headers,
    join(tools, 'include'),
    join(tools, 'testing/selftests'),
    join(suite, 'lib/include'),
    join(folder, 'source/include'),
    headersOfLibuuid,
  ].flatMap((path) => ['-I', path]);
  const flags = ['-w', '-O2', '-pthread', '-D_GNU_SOURCE=', '-D__user=', '-D__counted_by(member)='];
  const own = sources(join(suite, 'lib'));
  mkdirSync(join(folder, 'programs'), { recursive: true });
  for (const name of readdirSync(suite).filter((each) => each.endsWith('_test.c'))) {
    const program = join(folder, 'programs', basename(name, '.c'));
    command('gcc', [...flags, ...include, '-o', program, join(suite, name), ...own, libuuid], folder);
  }
}

function sources(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.c')).map((name) => join(folder, name));
}
