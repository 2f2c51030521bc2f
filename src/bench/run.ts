/**
 * Benchmark `run`: what `ioasid run -- true` takes longer than `true` alone.
 *
 * Where NODE_EXTRA_CA_CERTS names a file, each Node that starts reads the certificates in it, which takes
 * longer than all else of its start. So it is not told of any.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { median, type Outcome } from './measurement.js';

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const ROUNDS = 9;

export function run(): Outcome[] {
  const name = 'ioasid run -- true, more than true';
  const added: number[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const alone = elapsed(['true']);
    const under = elapsed([process.execPath, ioasid, 'run', '--', 'true']);
    if (under.failure !== undefined) return [{ name, skipped: under.failure }];
    if (round >= 0) added.push(under.ns - alone.ns);
  }
  return [{ name, unit: 'ns', ours: median(added), max: 0.15e9 }];
}

function elapsed([command, ...args]: readonly string[]): { ns: number; failure: string | undefined } {
  const begin = process.hrtime.bigint();
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const options = { timeout: 20_000, encoding: 'utf8', env } as const;
  const { status, signal, stderr } = spawnSync(command!, args, options);
  const ns = Number(process.hrtime.bigint() - begin);
  return {
    ns,
    failure:
      status === 0 ? undefined : stderr.split('\n')[0] || `it ended with ${signal ?? `status ${status}`}`,
  };
}
