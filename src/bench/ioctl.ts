/**
 * Benchmark `ioctl`: one IOASID_GET_INFO, client and server on one CPU, our server against a raw FUSE server
 * in C (bench/fuse-server.c), and ours that prints a trace, or records, against ours that does not: of the
 * same call again and again, of which a line is printed once, of one whose lines all differ, and of copies of
 * 64 bytes by a dsa. And a pair of IOMMU_IOAS_UNMAP and IOMMU_IOAS_MAP of 4 KiB, against pairs of ioctls that
 * read structs and write them back, and do nothing: of ours (IOMMU_OPTION), which says what the work costs on
 * top of the way to it; and of a server in C, which does not ask whose memory it is, as ours must. They are
 * mounted in a namespace that ends with the benchmark (ioctl-session.ts).
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './measurement.js';
import { type Comparison, isCommand, type References } from './reference.js';

const session = fileURLToPath(new URL('./ioctl-session.js', import.meta.url));
const name = 'ioctl IOASID_GET_INFO, one CPU';
const tellings = ['recorded', 'traced'];
const changing = 'ioctl IOASID_UNMAP, one CPU, of changing PASIDs';
const copies = 'copy 64 bytes by a dsa, one CPU, recorded';
const pairs = 'unmap and map 4 KiB by /dev/iommu, one CPU';
const besideOptions = `${pairs}, for two of ours that do nothing`;

export function ioctl(references: References): Outcome[] {
  const reason = whyNot(references);
  const names = [
    name,
    ...[name, changing].flatMap((each) => tellings.map((telling) => `${each}, ${telling}`)),
    copies,
    pairs,
    besideOptions,
  ];
  if (reason !== undefined) return names.map((each) => ({ name: each, skipped: reason }));
  references.compile('ioctl-client');
  references.compile('iommu-client');
  references.compile('dsa-client');
  references.compile('fuse-server');
  return [
    measured(name, 1.35, [references.folder]),
    ...tellings.map((telling) => measured(`${name}, ${telling}`, 1.3, [references.folder, telling])),
    ...tellings.map((telling) =>
      measured(`${changing}, ${telling}`, 1.3, [references.folder, telling, 'changing']),
    ),
    measured(copies, 1.3, [references.folder, 'recorded', 'copies']),
    measured(pairs, 1.3, [references.folder, 'pairs']),
    measured(besideOptions, 1.3, [references.folder, 'pairs', 'options']),
  ];
}

/** Why it cannot be measured here; undefined: it can. */
function whyNot(references: References): string | undefined {
  if (!references.hasCompiler) return 'its client is a C program, and there is no compiler (cc)';
  const missing = ['unshare', 'taskset'].find((command) => !isCommand(command));
  return missing && `there is no ${missing} (util-linux)`;
}

function measured(name: string, maxRatio: number, args: readonly string[]): Outcome {
  const user = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const namespace = ['--mount', '--propagation', 'private', ...user];
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    [...namespace, process.execPath, session, ...args],
    {
      encoding: 'utf8',
      timeout: 120_000,
      killSignal: 'SIGKILL',
    },
  );
  if (status === 0) return { name, unit: 'ns', ...(JSON.parse(stdout) as Comparison), maxRatio };
  return {
    name,
    skipped: stderr.split('\n').find((line) => line !== '') ?? `it ended with status ${status}`,
  };
}
