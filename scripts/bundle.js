/**
 * Bundles what tsc has made in dist/ into lib/: the package's entry points, with what they share in chunks,
 * so that a class is one class for all of them; and its programs and threads, which share nothing with
 * anybody, each in one file. A start reads a few files where it read two hundred, which is a third of its
 * time.
 *
 * A chunk of esbuild's is what the same entry points and imports reach, which makes seventy of what a run
 * needs. So that is divided first, by what of `stages` reaches it. Each such part is one script in
 * lib/parts/, which scripts/load-parts.cjs loads. In all other files an import of one of its sources becomes
 * one of a module in lib/chunks/ that has what the script exports.
 *
 * Tests run from dist/; what people run, and import, is lib/.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { terse } from './terse.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const entries = [
  ...['index', 'client/index', 'devices/registers', 'devices/options', 'devices/fake-host'],
  ...['cli/main', 'cli/demo/story-main', 'cli/demo/vm-main'],
];
const programs = ['cli/guard-main', 'cli/trap-heir', 'cli/probe'];
const threads = [
  ...['cli/telling-thread', 'cli/inspector-thread', 'devfs/own-files-thread', 'devfs/stand-in-thread'],
];
/** What a server loads one after the other; and who loads some of it too, and shall not load the rest. */
const stages = {
  run: ['cli/main', 'cli/run'],
  serve: ['cli/serve'],
  service: ['cli/service', 'cli/model-faults', 'cli/sysfs'],
};
/** Devices by their files: a server loads those that are asked for, or the first. */
const devices = {
  dsa: ['devices/dsa/index'],
  edu: ['devices/edu'],
  nvme: ['devices/nvme/index'],
  blk: ['devices/virtio/blk'],
  net: ['devices/virtio/net'],
};
const others = { models: ['devices/registers', 'devices/options', 'devices/fake-host'], index: ['index'] };
/**
 * What a server does without until a function of these files is called, or an object of a class of theirs is
 * made: until a program opens a file, or there is a device of another kind. They are loaded then, with what
 * only they import; what several of these lists reach is the part `shared`. It counts as importing only when
 * a file does something else with what it imports of them than to call it (`onlyCalls`).
 */
const atFirstCall = {
  files: [
    ...['machine/open-ioasid', 'machine/open-iommufd', 'machine/open-vfio', 'machine/open-type1'],
    ...['ioasid/context', 'iommufd/context', 'trace/traced-file'],
  ],
  tested: ['machine/open-iommu-test'],
  vdpa: ['vdpa/make-device'],
  vdpaFile: ['machine/open-vdpa'],
  idxd: ['idxd/make-device'],
  idxdFile: ['machine/open-wq'],
  looks: ['trace/reader', 'trace/recording/encoder', 'trace/recording/chunks'],
  programs: ['devfs/tracer', 'devfs/trapped-calls'],
  sysfs: ['sysfs/tree'],
};
/** What a server loads when an option asks for it, beside what is loaded already or at a first call. */
const whenAsked = {
  telling: ['cli/telling'],
  config: ['cli/config-file'],
  inspect: ['cli/inspect'],
  subject: ['inspector/subject'],
};

/** Stands before the path of a file of lib/ where that is imported, until it is known from which folder. */
const OURS = 'ioasid:';

const commander = join(root, 'node_modules/commander/index.js');
const license = readFileSync(join(dirname(commander), 'LICENSE'), 'utf8');
/** Stands at the end of a script that has it in it. */
const notice = `/* Of commander:\n\n${license}*/\n`;

/** @param {string} path of a source, without its ending */
const compiled = (path) => `dist/${path}.js`;

const gates = new Set(Object.values(atFirstCall).flat().map(compiled));

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
  const entryPoints = [stages, devices, others].flatMap((each) => Object.values(each).flat()).map(compiled);
  const { inputs, outputs } = (await bundle({ entryPoints, splitting: true })).metafile;
  const live = new Set(Object.values(outputs).flatMap((output) => Object.keys(output.inputs)));
  const files = Object.entries(inputs).filter(([file]) => live.has(file) || namesOthers(file));
  const statically = ({ kind, external }) => kind === 'import-statement' && !external;
  const imported = ([file, { imports }]) =>
    imports.filter((each) => statically(each) && !(gates.has(each.path) && onlyCalls(file, each.path)));
  return new Map(files.map((each) => [each[0], imported(each).map(({ path }) => path)]));
}

/** `paths`, and what they import, and so on, but for `without`. */
function reached(paths, graph, without = new Set()) {
  const found = new Set(paths.map(compiled));
  const next = (file) => (graph.get(file) ?? []).filter((path) => graph.has(path) && !without.has(path));
  for (const file of found) for (const path of next(file)) found.add(path);
  return found;
}

/** Is each of `names` nothing in the script or module `text` but what is called, or made an object of? */
function areOnlyCalled(names, text) {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\/|^import [^;]*;|^ *\/\/.*/gm, '');
  const escaped = (name) => name.replaceAll('$', '\\$');
  return names.every((name) => !new RegExp(`(?<![\\w$.])${escaped(name)}(?![\\w$(])`).test(code));
}

/** Does the module `file` do nothing else with what it imports of `other`? */
function onlyCalls(file, other) {
  const text = readFileSync(join(root, file), 'utf8');
  const imports = [...text.matchAll(/^import {([^}]*)} from '(\.[^']+)';/gm)];
  const ofOther = imports.filter(([, , from]) => join(dirname(file), from) === other);
  return ofOther.length > 0 && ofOther.every(([, names]) => areOnlyCalled(namesIn(names), text));
}

/** What names between braces are here. */
const namesIn = (names) => names.split(',').map((each) => each.trim().split(' as ').at(-1));

/** The files that are imported when they are needed, by whatever `entries` reach. */
async function importedLater() {
  const { inputs } = (await bundle({ entryPoints: entries.map(compiled), splitting: true })).metafile;
  const imports = Object.values(inputs).flatMap((file) => file.imports);
  const later = imports.filter(({ kind, external }) => kind === 'dynamic-import' && !external);
  return new Set(later.map(({ path }) => path));
}

/** A file that has nothing but `export *` is no part's: whoever imports it imports what it names. */
const namesOthers = (file) => /^export \*/m.test(readFileSync(join(root, file), 'utf8'));

/** The parts, by name: their files. @throws Error what is to be loaded at a first call is not only called. */
async function divided() {
  const graph = await importsOfStages();
  const reach = {};
  for (const [name, paths] of Object.entries({ ...stages, ...devices, ...others }))
    reach[name] = reached(paths, graph);
  const early = new Set(Object.keys({ ...stages, ...devices }).flatMap((name) => [...reach[name]]));
  for (const gate of gates) if (early.has(gate)) throw new Error(`${gate} is not only called`);
  for (const [name, paths] of Object.entries(atFirstCall)) reach[name] = reached(paths, graph, early);
  const known = new Set([...early, ...Object.keys(atFirstCall).flatMap((name) => [...reach[name]])]);
  for (const [name, paths] of Object.entries(whenAsked)) reach[name] = reached(paths, graph, known);
  const reaching = (file, among) => Object.keys(among).filter((name) => reach[name].has(file));
  const partOf = (file) => {
    if (early.has(file)) {
      const [ofStages, ofDevices] = [reaching(file, { ...stages, ...others }), reaching(file, devices)];
      if (ofStages.length === 0 && ofDevices.length === 1) return ofDevices[0];
      return [...ofStages, ...(ofDevices.length > 0 ? ['devices'] : [])].join('-');
    }
    const [name, ...more] = reaching(file, { ...atFirstCall, ...whenAsked });
    return more.length === 0 ? name : 'shared';
  };
  const parts = new Map();
  for (const file of new Set(Object.values(reach).flatMap((files) => [...files]))) {
    const name = partOf(file);
    if (name !== undefined && !namesOthers(file)) parts.set(name, [...(parts.get(name) ?? []), file]);
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
const ofGates = [...gates].flatMap((file) => exported.get(file).map((name) => inPart(file, name)));
const used = new Set(ofGates);

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
    // All that a run needs of it is in one script, then, with what V8 has compiled.
    if (own !== undefined) onResolve({ filter: /^commander$/ }, () => ({ path: commander }));
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

/** Parts that are built: they export what has been used until then. */
const built = new Set();

/** Notes that `part` has to export `name`. @throws Error it is built, and does not. */
function use(part, name) {
  if (built.has(part) && !used.has(name)) throw new Error(`${part} is built before what imports ${name}`);
  used.add(name);
}

/** `text`, when it is noted what it imports of parts. */
function noted(text) {
  const imports = new RegExp(`{([^{}]*)} from "${OURS}chunks/([^"]+)\\.js"`, 'g');
  for (const [, names, part] of text.matchAll(imports))
    for (const name of names.split(',')) use(part, name.trim().split(' as ')[0]);
  for (const [, path] of text.matchAll(new RegExp(`import\\("${OURS}([^"]+)"\\)`, 'g'))) {
    const file = `dist/${path}`;
    const part = partOf.get(file);
    if (part !== undefined) for (const name of exported.get(file)) use(part, inPart(file, name));
  }
  return text;
}

/** The files of lib/ that this build has made. */
const made = new Set();

/** Writes `text` as a file of lib/. */
function write(path, text) {
  made.add(path);
  const lib = relative(dirname(path), join(root, 'lib'));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text.replaceAll(`"${OURS}`, `"${lib === '' ? '.' : lib}/`));
}

function writeAll({ outputFiles }, changed = noted) {
  for (const { path, text } of outputFiles) write(path, changed(text));
}

/** Names in braces, of an import or export, as those of a pattern or an object. */
const renamed = (names) => names.replace(/([\w$]+) as ([\w$]+)/g, '$1: $2');
const swapped = (names) => names.replace(/([\w$]+) as ([\w$]+)/g, '$2: $1');

/** Modules of Node's that a start does without: a script loads each when a function of it is called. */
const seldom = /^node:(child_process|crypto|inspector|module|net|stream|tty|v8|worker_threads|zlib)$/;

/** Functions, and classes to make objects of, by their names in braces, of what `loaded` loads. */
function loadingFunctions(names, loaded) {
  const each = names
    .slice(1, -1)
    .split(',')
    .map((name) => name.trim().split(' as '));
  const made = each.map(([name, own = name]) => {
    const what = `${loaded}.${name}`;
    return `${own} = function (...args) { return new.target ? new (${what})(...args) : ${what}(...args); }`;
  });
  return `const ${made.join(', ')};`;
}

/** The script `text`, where what a CommonJS module in it requires of `seldom` is loaded where it is used. */
function requiringLater(text) {
  const all = /^ *var ([\w$]+) = (__require\("([^"]+)"\));\n/gm;
  const later = [...text.matchAll(all)].filter(([, , , from]) => seldom.test(from));
  return later.reduce(
    (left, [line, name, load]) =>
      left.replace(line, '').replaceAll(new RegExp(`(?<![\\w$.])${name}\\.`, 'g'), `${load}.`),
    text,
  );
}

/** What stands in a script, whose text is `body`, in the place of an import. */
function constantsOf(names, from, body) {
  if (seldom.test(from)) return loadingFunctions(names, `require("${from}")`);
  if (!from.startsWith(OURS)) return `const ${renamed(names.replace(/^\* as /, ''))} = require("${from}");`;
  const loaded = `$part("${from.slice(`${OURS}chunks/`.length, -'.js'.length)}")`;
  const all = names.slice(1, -1).split(',');
  const isLate = (each) =>
    ofGates.includes(each.trim().split(' as ')[0]) && areOnlyCalled(namesIn(each), body);
  const [late, early] = [all.filter(isLate), all.filter((each) => !isLate(each))];
  const made = early.length === 0 ? '' : `const {${renamed(early.join(','))}} = ${loaded};`;
  return late.length === 0 ? made : `${made}${loadingFunctions(`{${late.join(',')}}`, loaded)}`;
}

/** A later import of a source that is in a part, in a script: it is there when the part is. */
function laterOf(path) {
  const file = path.replace(OURS, 'dist/');
  const part = partOf.get(file);
  if (part === undefined) return `import("${path}")`;
  const members = exported.get(file).map((name) => `${name}: "${inPart(file, name)}"`);
  return `$later("${part}", { ${members.join(', ')} })`;
}

/** The module `text` as a script: a function that returns what the module exports. */
function scriptOf(text) {
  const heads = [];
  const body = requiringLater(text)
    .replace(/^import (\{[^{}]*\}|[\w$]+|\* as [\w$]+) from "([^"]+)";$/gm, (_, names, from) => {
      heads.push(constantsOf(names, from, text));
      return '';
    })
    .replace(/^export (\{[^{}]*\});$/gm, (_, names) => `return ${swapped(names)};`)
    // It has a `require` of its own; to make another loads Node's loader of modules.
    .replaceAll('createRequire($here)', 'require')
    .replace(/\bimport\("(ioasid:[^"]+)"\)/g, (_, path) => laterOf(path))
    .replace(/\bimport\(/g, '$import(');
  if (/^(import|export)\b/m.test(body)) throw new Error('an import or export that no script can have');
  const foreign = body.includes('// node_modules/commander/') ? notice : '';
  const parameters = '$part, $later, $import, require, $here';
  const script = `(function (${parameters}) { 'use strict';\n${heads.join('\n')}\n${body}\n})\n`;
  return `${terse(script)}${foreign}`;
}

/** A module that has what a part exports, for those that import it. */
function moduleOf(part, names) {
  const list = names.join(', ');
  const taken = `const { ${list} } = part("${part}");`;
  return `import { part } from "${OURS}parts/load.cjs";\n${taken}\nexport { ${list} };\n`;
}

/** To be built when all are that import it. */
async function buildPart(part, files) {
  const taken = (file) => exported.get(file).filter((name) => used.has(inPart(file, name)));
  const names = (file) => taken(file).map((name) => `${name} as ${inPart(file, name)}`);
  const contents = files.map(
    (file) => `import './${file}'; export { ${names(file).join(', ')} } from './${file}';`,
  );
  const stdin = { contents: contents.join('\n'), resolveDir: root, sourcefile: `${part}.js` };
  const [outdir, outfile] = [undefined, `lib/parts/${part}.js`];
  const define = { 'import.meta.url': '$here' };
  const { outputFiles } = await bundle({ stdin, outdir, outfile, define, plugins: [imports(part)] });
  for (const { path, text } of outputFiles) write(path, scriptOf(noted(text)));
  built.add(part);
  const all = files.flatMap((file) => taken(file).map((name) => inPart(file, name)));
  write(join(root, `lib/chunks/${part}.js`), moduleOf(part, all));
}

rmSync(join(root, 'lib/parts'), { recursive: true, force: true });
const all = new Set([...entries.map(compiled), ...later]);
const own = [...all].filter((file) => !partOf.has(file));
writeAll(await bundle({ entryPoints: own, splitting: true, plugins: [imports(undefined)] }));
for (const file of all)
  if (partOf.has(file)) write(join(root, file.replace('dist/', 'lib/')), noted(stub(file)));
// What more of the stages reach is imported by what fewer reach, and by all that is loaded at a first call.
const late = [...Object.keys(whenAsked), ...Object.keys(atFirstCall), 'shared', ...Object.keys(devices)];
const rank = (part) => (late.includes(part) ? late.indexOf(part) : late.length + part.split('-').length);
const order = [...parts].sort(([a], [b]) => rank(a) - rank(b));
for (const [part, files] of order) await buildPart(part, files);
write(join(root, 'lib/parts/load.cjs'), readFileSync(join(root, 'scripts/load-parts.cjs'), 'utf8'));
writeAll(await bundle({ entryPoints: programs.map(compiled) }));
// What bin/ioasid requires, and what threads begin with (src/linux/own-thread.ts), waits for no module.
writeAll(
  await bundle({
    entryPoints: ['cli/requirements', ...threads].map(compiled),
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    define: { 'import.meta.url': '$here' },
    banner: { js: 'const $here = require("node:url").pathToFileURL(__filename).href;' },
  }),
  terse,
);
const main = inPart(compiled('cli/main'), 'main');
write(join(root, 'lib/cli/main.cjs'), `require("${OURS}parts/load.cjs").part("run").${main}();\n`);

// What an older build has made; the page is scripts/build-page.js's.
for (const entry of readdirSync(join(root, 'lib'), { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name);
  if (entry.isFile() && !made.has(path) && !path.includes('/inspector/page/')) rmSync(path);
}

execFileSync(process.execPath, [join(root, 'scripts/code-caches.cjs')], { stdio: 'inherit' });
