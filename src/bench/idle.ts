/**
 * Benchmark `idle`: the memory that a server with one device has resident, some seconds after its start, when
 * nobody has opened a file of it yet. What other Nodes share with it is counted.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median, type Outcome } from './measurement.js';

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const ROUNDS = 5;
const IDLE_MS = 3000;

export async function idle(): Promise<Outcome[]> {
  const name = 'a server with one device, idle: resident';
  const found: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = await resident();
    if (typeof bytes === 'string') return [{ name, skipped: bytes }];
    found.push(bytes);
  }
  return [{ name, unit: 'bytes', ours: median(found), max: 50 * 2 ** 20 }];
}

/** The bytes of one server, or why there is none. */
async function resident(): Promise<number | string> {
  // Node reads the certificates that it names, and keeps them.
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-bench-'));
  const words = [ioasid, 'serve', '--ready-fd', '1', join(folder, 'dev')];
  const server = spawn(process.execPath, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(server, 'exit');
  try {
    let said = '';
    server.stderr.on('data', (part) => {
      said += part;
    });
    const ready = once(server.stdout, 'data').then(() => true);
    if (!(await Promise.race([ready, ended.then(() => false)]))) return said.split('\n')[0] || 'it has ended';
    await sleep(IDLE_MS);
    const status = readFileSync(`/proc/${server.pid}/status`, 'latin1');
    return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
  } finally {
    server.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true });
  }
}
