/**
 * Benchmark `neighbours`: what one client of `ioasid serve` waits for IOASID_GET_INFO while another makes one
 * of the costliest calls that there are in a loop (neighbour-process.ts, bench/frames.c), and while nobody
 * does. The time for which both wait for a processor is not counted, as others may use the machine.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './measurement.js';
import type { References } from './reference.js';

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const program = fileURLToPath(new URL('./neighbour-process.js', import.meta.url));
const interrupting = fileURLToPath(new URL('./interrupting-device.js', import.meta.url));
const MEASURED_MS = 3_000;
const P99_NS = 5e6;
const MAX_NS = 20e6;

/** What neighbours do, as the table names it. */
const neighbours: Readonly<Record<string, string>> = {
  dirty: 'GET_DIRTY_BITMAP of 8.4 M pages',
  copy: 'COPY of 2^19 mappings',
  unmap: 'UNMAP of 2^20 mappings',
  release: 'release of 2^18 mappings',
  revoke: 'REVOKE behind 20 x 2 GiB',
  areas: 'MAP over 60,000 areas',
  attach: 'ATTACH to 2^20 mappings',
  holes: 'fill into punched pages',
  choose: 'search for a free IOVA',
  ranges: 'ALLOW_IOVAS of 4,096 ranges',
  information: 'GET_HW_INFO into 256 MiB',
  registers: 'read of 64 KiB of registers',
  interrupts: '200,000 interrupts in a write',
  frames: 'frames in 1,024 places each',
};

/** Nanoseconds. */
interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** A process that says when it is ready, and what it prints after that line by line. */
class Started {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(command: string, args: readonly string[]) {
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface(this.process.stdout!)[Symbol.asyncIterator]();
  }

  /** The next line. @throws Error when it has ended. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.process.spawnargs.join(' ')} ended early`);
    return value;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const ended = once(this.process, 'exit');
    if (this.process.exitCode === null && this.process.kill(signal)) await ended;
  }
}

async function measure(client: Started): Promise<Latency> {
  client.process.stdin!.write('\n');
  const [p50, p99, max] = (await client.line()).split(' ').map(Number) as [number, number, number];
  return { p50, p99, max };
}

export async function neighbourhood(references: References): Promise<Outcome[]> {
  if (!references.hasCompiler)
    return [{ name: 'neighbours', skipped: 'its client is a C program, and there is no compiler (cc)' }];
  const folder = join(references.folder, 'served');
  const device = ['dsa,mdevs=1', interrupting, 'virtio-net,mtu=65535'].flatMap((spec) => ['--device', spec]);
  const server = new Started(process.execPath, [ioasid, 'serve', ...device, folder]);
  try {
    while (!(await server.line()).endsWith('vhost-vdpa-0'));
    const file = join(folder, 'ioasid');
    const client = new Started(references.compile('latency'), [
      file,
      String(MEASURED_MS),
      String(server.process.pid),
    ]);
    const idle = await measure(client);
    const outcomes: Outcome[] = [];
    for (const [call, name] of Object.entries(neighbours))
      outcomes.push(...rows(name, await beside(neighbour(call, folder, references), client), idle));
    await client.end('SIGTERM');
    return outcomes;
  } finally {
    await server.end('SIGTERM');
  }
}

/** Calls of virtio devices are a C program's. */
function neighbour(call: string, folder: string, references: References): Started {
  return call === 'frames'
    ? new Started(references.compile(call), [join(folder, 'vhost-vdpa-0')])
    : new Started(process.execPath, [program, folder, call]);
}

async function beside(neighbour: Started, client: Started): Promise<Latency> {
  try {
    await neighbour.line();
    return await measure(client);
  } finally {
    await neighbour.end('SIGKILL');
  }
}

function rows(name: string, { p50, p99, max }: Latency, idle: Latency): Outcome[] {
  return [
    { name: `${name}: p50`, unit: 'ns', ours: p50, reference: idle.p50 },
    { name: `${name}: p99`, unit: 'ns', ours: p99, reference: idle.p99, max: P99_NS },
    { name: `${name}: max`, unit: 'ns', ours: max, reference: idle.max, max: MAX_NS },
  ];
}
