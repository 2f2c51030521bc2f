/**
 * A model in TypeScript for tests that run on every Node: its source where Node strips types, and where it
 * does not, what the compiler makes of it in a project of its own.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const strict = ['--strict', '--noUnusedLocals', '--exactOptionalPropertyTypes', '--skipLibCheck'];
const modules = ['--module', 'nodenext', '--target', 'es2022', '--types', 'node'];

/** What `--device` takes for the model at `path` of the repository. @throws Error it does not compile. */
export function typescriptModel(path: string): string {
  const source = join(root, path);
  if ('typescript' in process.features && process.features.typescript) return source;
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-model-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/ioasid'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const out = ['--ignoreConfig', '--outDir', folder, '--rootDir', dirname(source)];
  execFileSync(process.execPath, [compiler, ...out, ...modules, ...strict, source], { stdio: 'pipe' });
  return join(folder, basename(path).replace(/\.ts$/, '.js'));
}
