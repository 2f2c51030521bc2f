/**
 * The benchmark `ioctl` inside a mount namespace of its own. Arguments: the folder of the compiled
 * references; with `traced` or `recorded`, ours that tells that much is compared with ours that does not;
 * with `changing`, the client does not say the same again and again; with `pairs`, it unmaps and maps by
 * /dev/iommu, and with `options` too, both servers are ours, and the other client asks for two options
 * instead; with `copies`, it has a dsa copy; with `free`, no process is kept on a CPU.
 *
 * Two servers, ours and otherwise the one in C, each with a client of its own; all four on one CPU, so that a
 * wake-up never crosses to another one. The clients take turns. Prints the Comparison as JSON.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compare, Passes } from './reference.js';

const CALLS = 5_000;
const ROUNDS = 21;
const WARMUPS = 5;

const folder = process.argv[2]!;
const pinned = process.argv.includes('free') ? [] : ['taskset', '-c', String(cpus().length - 1)];

/** Starts a server that mounts on `target`; resolves when it says that it has. */
async function serve(target: string, ...command: readonly string[]): Promise<ChildProcess> {
  mkdirSync(target, { recursive: true });
  const [program, ...args] = [...pinned, ...command, target];
  const child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const outcome = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => undefined)]);
  if (outcome === undefined) throw new Error(`${command.join(' ')} ended before it was ready`);
  return child;
}

const words = process.argv.slice(3);
const changing = words.filter((word) => word === 'changing');
const options = words.filter((word) => word === 'options');
const [program, file] = words.includes('pairs')
  ? ['iommu-client', 'iommu']
  : words.includes('copies')
    ? ['dsa-client', '.']
    : ['ioctl-client', 'ioasid'];
const client = (target: string, how: readonly string[] = changing) =>
  new Passes([...pinned, join(folder, program!), join(target, file!), String(CALLS), ...how]);

const telling = words.filter((word) => word === 'traced' || word === 'recorded');
const isOurs = telling.length > 0 || options.length > 0;
const ours = [process.execPath, fileURLToPath(new URL('./ioctl-server.js', import.meta.url))];
const theirTarget = join(folder, 'their-files');
const ourTarget = join(folder, 'our-files');
const servers = [
  await serve(theirTarget, ...(isOurs ? ours : [join(folder, 'fuse-server')])),
  await serve(ourTarget, ...ours, ...telling),
];
const [theirClient, ourClient] = [client(theirTarget, [...changing, ...options]), client(ourTarget)];
const result = await compare(
  () => ourClient.pass(),
  () => theirClient.pass(),
  ROUNDS,
  WARMUPS,
);
await theirClient.close();
await ourClient.close();
for (const server of servers) server.stdin!.end();
console.log(JSON.stringify(result));
