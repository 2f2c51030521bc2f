/**
 * Loads the parts of the bundle (scripts/bundle.js): scripts, and not modules, because V8 takes what it has
 * compiled of a script from a file, and Node's modules have none before Node 22. That is a quarter of the
 * time of `ioasid run -- true`.
 *
 * A part is a file of lib/parts with one function, which is called once and returns what the part exports.
 * Beside it may lie what V8 has compiled of it, made by `npm run build` (scripts/code-caches.cjs) and good
 * for that version of Node alone, which its name says. V8 looks itself whether it fits the processor, the
 * flags and the length of the script. Where there is none that fits, the script is compiled.
 */
'use strict';
const { readFileSync } = require('node:fs');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');

const ending = `.${process.version}-${process.arch}`;
/** The folder of the parts. Paths are put together by hand: of what `join` calls V8 makes fast code. */
const folder = `${pathToFileURL(__dirname).href}/`;
/** What parts export, by their names. */
const exported = new Map();
/** Their scripts, for whoever keeps what is compiled of them. */
const scripts = new Map();

/** What the part `name` exports. The first time, it is loaded. */
function part(name) {
  if (!exported.has(name)) exported.set(name, loaded(name));
  return exported.get(name);
}

/** Some of it, by other names, as `import()` has it. */
async function later(name, names) {
  const all = part(name);
  return Object.fromEntries(Object.entries(names).map(([own, inPart]) => [own, all[inPart]]));
}

function loaded(name) {
  const script = new Script(readFileSync(fileOf(name), 'latin1'), {
    // What V8 has compiled keeps the name, wherever the package is then: it names no place.
    filename: `ioasid:lib/parts/${name}.js`,
    cachedData: compiledOf(name),
  });
  scripts.set(name, script);
  return script.runInThisContext()(part, later, (url) => import(url), require, `${folder}${name}.js`);
}

function compiledOf(name) {
  try {
    return readFileSync(cacheOf(name));
  } catch {
    return undefined;
  }
}

const fileOf = (name) => `${__dirname}/${name}.js`;
const cacheOf = (name) => `${fileOf(name)}${ending}`;

exports.part = part;
exports.scripts = scripts;
exports.cacheOf = cacheOf;
