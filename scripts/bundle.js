/**
 * Bundles what tsc has made in dist/ into lib/: the package's entry points, with what they share in chunks,
 * so that a class is one class for all of them; and its programs and threads, which share nothing with
 * anybody, each in one file. A start reads a few files where it read two hundred, which is a third of its
 * time.
 *
 * A chunk of esbuild's is what the same entry points and imports reach, which makes seventy of what a run
 * needs. So that is divided first, by what of `stages` reaches it: each such part is one file, and in all
 * others an import of one of its sources becomes one of that file.
 *
 * Tests run from dist/; what people run, and import, is lib/.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
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
/** What a run loads one after the other; and who loads some of it too, and shall not load the rest. */
const stages = {
  run: ['cli/main', 'cli/run'],
  service: ['cli/service', 'cli/model-faults', 'cli/sysfs'],
};
const others = { models: ['devices/registers', 'devices/options', 'devices/fake-host'], index: ['index'] };

/** Stands before the path of a file of lib/ where that is imported, until it is known from which folder. */
const OURS = 'ioasid:';

/** @param {string} path of a source, without its ending */
const compiled = (path) => `dist/${path}.js`;

/** @param {import('esbuild').BuildOptions} options */
function bundle(options) {
  return build({
    absWorkingDir: root,
    outdir: 'lib',
    outbase: 'dist',
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    // One folder deep, as the file that asks where it lies (src/linux/own-package.ts).
    chunkNames: 'chunks/[name]-[hash]',
    metafile: true,
    logLevel: 'warning',
    write: false,
    ...options,
  });
}

/** Files and what they import, by a bundle of all that the stages reach: what nobody uses is not in it. */
async function importsOfStages() {
  const entryPoints = [...Object.values(stages), ...Object.values(others)].flat().map(compiled);
  const { inputs, outputs } = (await bundle({ entryPoints, splitting: true })).metafile;
  const live = new Set(Object.values(outputs).flatMap((output) => Object.keys(output.inputs)));
  const files = Object.entries(inputs).filter(([file]) => live.has(file) || namesOthers(file));
  const statically = ({ kind, external }) => kind === 'import-statement' && !external;
  return new Map(
    files.map(([file, { imports }]) => [file, imports.filter(statically).map(({ path }) => path)]),
  );
}

/** `paths`, and what they import, and so on. */
function reached(paths, graph) {
  const found = new Set(paths.map(compiled));
  for (const file of found) for (const path of graph.get(file) ?? []) if (graph.has(path)) found.add(path);
  return found;
}

/** The files that are imported when they are needed, by whatever `entries` reach. */
async function importedLater() {
  const { inputs } = (await bundle({ entryPoints: entries.map(compiled), splitting: true })).metafile;
  const imports = Object.values(inputs).flatMap((file) => file.imports);
  const later = imports.filter(({ kind, external }) => kind === 'dynamic-import' && !external);
  return new Set(later.map(({ path }) => path));
}

/** It waits for what it imports later, which a part that it were in would be. */
const waits = (file) => file === compiled('cli/main');

/** A file that has nothing but `export *` is no part's: whoever imports it imports what it names. */
const namesOthers = (file) => /^export \*/m.test(readFileSync(join(root, file), 'utf8'));

/** The parts, by name: their files. */
async function divided() {
  const graph = await importsOfStages();
  const reach = {};
  for (const [name, paths] of Object.entries({ ...stages, ...others })) reach[name] = reached(paths, graph);
  const parts = new Map();
  for (const file of new Set(Object.keys(stages).flatMap((name) => [...reach[name]]))) {
    if (namesOthers(file) || waits(file)) continue;
    const part = Object.keys(reach).filter((name) => reach[name].has(file));
    const name = part.join('-');
    parts.set(name, [...(parts.get(name) ?? []), file]);
  }
  return parts;
}

/** What each of `files` exports. */
async function exportsOf(files) {
  const { outputs } = (await bundle({ entryPoints: files, bundle: false, packages: undefined })).metafile;
  return new Map(Object.values(outputs).map(({ entryPoint, exports }) => [entryPoint, exports]));
}

const later = await importedLater();
const parts = await divided();
const partOf = new Map([...parts].flatMap(([part, files]) => files.map((file) => [file, part])));
const exported = await exportsOf([...partOf.keys()]);
/** What an export is called in its part, where several sources may have its name. */
const number = new Map([...partOf.keys()].map((file, index) => [file, index]));
const inPart = (file, name) => `${name}$${number.get(file)}`;
/** Exports of parts, called so, that others import. */
const used = new Set();

/** A module that has what `file` exports, from its part. */
function stub(file) {
  const names = exported.get(file).map((name) => `${inPart(file, name)} as ${name}`);
  return `export { ${names.join(', ')} } from "${OURS}chunks/${partOf.get(file)}.js";`;
}

/** Has an import of a source of another part than `own` be one of that part. */
const imports = (own) => ({
  name: 'parts',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: new RegExp(`^${OURS}`) }, ({ path }) => ({ path, external: true }));
    onResolve({ filter: /^\./ }, ({ path, resolveDir, kind }) => {
      const file = relative(root, join(resolveDir, path));
      if (kind === 'dynamic-import') return { path: file.replace('dist/', OURS), external: true };
      const part = partOf.get(file);
      return part === undefined || part === own ? undefined : { path: file, namespace: 'part' };
    });
    const load = ({ path }) => ({ contents: stub(path), resolveDir: root });
    onLoad({ filter: /./, namespace: 'part' }, load);
  },
});

/** Writes `text` as a file of lib/, and notes what it imports of parts. @returns its path. */
function write(path, text) {
  for (const [, names] of text.matchAll(new RegExp(`{([^{}]*)} from "${OURS}`, 'g')))
    for (const name of names.split(',')) used.add(name.trim().split(' as ')[0]);
  const lib = relative(dirname(path), join(root, 'lib'));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text.replaceAll(`"${OURS}`, `"${lib === '' ? '.' : lib}/`));
  return path;
}

const written = ({ outputFiles }) => outputFiles.map(({ path, text }) => write(path, text));

/** To be built when all are that import it. */
async function buildPart(part, files) {
  const taken = (file) => exported.get(file).filter((name) => used.has(inPart(file, name)));
  const names = (file) => taken(file).map((name) => `${name} as ${inPart(file, name)}`);
  const contents = files.map(
    (file) => `import './${file}'; export { ${names(file).join(', ')} } from './${file}';`,
  );
  const stdin = { contents: contents.join('\n'), resolveDir: root, sourcefile: `${part}.js` };
  const [outdir, outfile] = [undefined, `lib/chunks/${part}.js`];
  return written(await bundle({ stdin, outdir, outfile, plugins: [imports(part)] }));
}

const all = new Set([...entries.map(compiled), ...later]);
const own = [...all].filter((file) => !partOf.has(file));
const kept = new Set(
  written(await bundle({ entryPoints: own, splitting: true, plugins: [imports(undefined)] })),
);
for (const file of all) if (partOf.has(file)) write(join(root, file.replace('dist/', 'lib/')), stub(file));
// What more of the stages reach is imported by what fewer reach.
const order = [...parts].sort(([a], [b]) => a.split('-').length - b.split('-').length);
for (const [part, files] of order) for (const path of await buildPart(part, files)) kept.add(path);
written(await bundle({ entryPoints: alone.map(compiled) }));

for (const name of readdirSync(join(root, 'lib/chunks'))) {
  const path = join(root, 'lib/chunks', name);
  if (!kept.has(path)) rmSync(path);
}
