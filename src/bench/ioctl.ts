/**
 * Benchmark `ioctl`: one IOASID_GET_INFO, client and server on one CPU, our server against a raw FUSE server
 * in C (bench/fuse-server.c). Both are mounted in a namespace that ends with the benchmark
 * (ioctl-session.ts).
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './measurement.js';
import { type Comparison, isCommand, type References } from './reference.js';

const session = fileURLToPath(new URL('./ioctl-session.js', import.meta.url));
const name = 'ioctl IOASID_GET_INFO, one CPU';

export function ioctl(references: References): Outcome[] {
  if (!references.hasCompiler)
    return [{ name, skipped: 'its client is a C program, and there is no compiler (cc)' }];
  const missing = ['unshare', 'taskset'].find((command) => !isCommand(command));
  if (missing !== undefined) return [{ name, skipped: `there is no ${missing} (util-linux)` }];
  references.compile('ioctl-client');
  references.compile('fuse-server');
  const namespace = [
    '--mount',
    '--propagation',
    'private',
    ...(process.getuid?.() === 0 ? [] : ['--map-root-user']),
  ];
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    [...namespace, process.execPath, session, references.folder],
    {
      encoding: 'utf8',
      timeout: 120_000,
      killSignal: 'SIGKILL',
    },
  );
  if (status !== 0)
    return [
      { name, skipped: stderr.split('\n').find((line) => line !== '') ?? `it ended with status ${status}` },
    ];
  return [{ name, unit: 'ns', ...(JSON.parse(stdout) as Comparison), maxRatio: 1.35 }];
}
