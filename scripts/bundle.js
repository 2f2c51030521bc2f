/**
 * Bundles what tsc has made in dist/ into lib/: the package's entry points, with what they share in chunks,
 * so that a class is one class for all of them; and its programs and threads, which share nothing with
 * anybody, each in one file. A start reads a few files where it read two hundred, which is a third of its
 * time.
 *
 * Tests run from dist/; what people run, and import, is lib/.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const entries = [
  ...['index', 'client/index', 'devices/registers', 'devices/options', 'devices/fake-host'],
  ...['cli/requirements', 'cli/main', 'cli/demo/story-main', 'cli/demo/vm-main'],
];
const alone = [
  ...['cli/launcher', 'cli/guard-main', 'cli/trap-heir', 'cli/probe'],
  ...['cli/telling-thread', 'cli/inspector-thread', 'devfs/own-files-thread', 'devfs/stand-in-thread'],
];

/** @param {readonly string[]} paths @param {boolean} splitting whether what they share is in chunks */
function bundle(paths, splitting) {
  return build({
    absWorkingDir: root,
    entryPoints: paths.map((path) => `dist/${path}.js`),
    outdir: 'lib',
    outbase: 'dist',
    bundle: true,
    splitting,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    // One folder deep, as the file that asks where it lies (src/linux/own-package.ts).
    chunkNames: 'chunks/[name]-[hash]',
    metafile: true,
    logLevel: 'warning',
  });
}

const { metafile } = await bundle(entries, true);
await bundle(alone, false);

for (const chunk of readdirSync(join(root, 'lib/chunks'))) {
  const path = join('lib/chunks', chunk);
  if (!(path in metafile.outputs)) rmSync(join(root, path));
}
