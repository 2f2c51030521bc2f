/** Compiles examples/vm.c, where there is a C compiler. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ownFile } from '../../linux/own-package.js';

const root = ownFile('');

/** @returns why there is no program at `target`, or undefined: it is there. */
export function compileVm(target: string): string | undefined {
  const compiler = process.env.CC ?? 'cc';
  const args = ['-O1', '-I', join(root, 'include'), '-o', target, join(root, 'examples', 'vm.c')];
  const { error, status, stderr } = spawnSync(compiler, args, { encoding: 'utf8' });
  if (error !== undefined) return `there is no C compiler ${compiler}`;
  if (status === 0) return undefined;
  const complaint = stderr.split('\n').find((line) => line.includes('error'));
  return `${compiler} says: ${complaint ?? `status ${status}`}`;
}
