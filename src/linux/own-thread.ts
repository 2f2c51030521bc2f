/**
 * Threads of this process, each with a source of its own.
 *
 * Node reads a module on a thread of its pool, and all of those may wait: for a disk, for a file of somebody
 * else's, or for an answer that this process has to give. Invariant: a thread of ours starts all the same, so
 * whoever waits for its start waits for nobody else. Its source is required, then, and not imported: all of
 * it is read where it runs.
 *
 * In lib/ that is a CommonJS script, which is 1 MiB less for each thread. What tsc makes are modules; Node
 * requires them as long as they have no `await` outside of functions.
 */
import { existsSync } from 'node:fs';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { ownScript } from './own-package.js';

/** Starts one, by the path of its source in `src`: `devfs/stand-in-thread`. @throws Error it cannot be. */
export function startThread(path: string, options: WorkerOptions): Worker {
  const bundled = ownScript(`${path}.cjs`);
  const script = existsSync(bundled) ? bundled : ownScript(`${path}.js`);
  return new Worker(`require(${JSON.stringify(script)})`, { ...options, eval: true });
}
