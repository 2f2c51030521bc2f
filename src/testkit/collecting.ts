/**
 * For `node --import`: at SIGURG, which nobody else minds, a process collects its garbage and prints how much
 * is left. That is the same twice when it holds the same.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  process.on('SIGURG', () => {
    // What the first one finalizes is garbage for the second.
    collect();
    collect();
    const { heapUsed, external } = process.memoryUsage();
    console.error(`bytes without garbage: ${heapUsed + external}`);
  });
}
