/**
 * The layers: no folder imports from one above it, and no files import each other in a ring.
 *
 * Every source file that is not a test is scanned for the modules it names (testkit/imports.ts), the test kit
 * and the suites too.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path/posix';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { importsOf } from './testkit/imports.js';
import { tokensOf } from './testkit/tokens.js';

/**
 * From the top down. Places in one row do not know each other. `index` is a file at the root of `src`, the
 * package's front.
 */
const layers: readonly (readonly string[])[] = [
  ['bench', 'oracle', 'guest', 'linux-suite', 'conformance'],
  ['testkit'],
  ['cli'],
  ['inspector'],
  ['replay'],
  ['index'],
  ['client'],
  ['machine'],
  ['devfs'],
  ['trace'],
  ['uapi', 'sysfs'],
  ['vfio', 'vdpa', 'idxd', 'iommu-test'],
  ['driver'],
  ['devices', 'iommufd'],
  ['ioasid'],
  ['file'],
  ['iommu'],
  ['linux'],
];
const rootFiles = ['index.ts'];

/** The only file that may load native code, and who may take it from there: tests call libc too. */
const native = 'linux/ffi.ts';
const nativeUsers = ['linux', 'testkit'];

type Sources = ReadonlyMap<string, string>;

/** The sources that the rule is about, by their path below `src`. */
function readSources(): Sources {
  const root = fileURLToPath(new URL('../src/', import.meta.url));
  const paths = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(
      (entry) => entry.isFile() && /\.[cm]?tsx?$/.test(entry.name) && !/\.test\.[cm]?tsx?$/.test(entry.name),
    )
    .map((entry) => join(relative(root, entry.parentPath), entry.name));
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}

/** The place of a file in `layers`: its folder, or its own name for the files at the root. */
function placeOf(path: string): string {
  return rootFiles.includes(path) ? path.replace(/\.ts$/, '') : path.split('/')[0]!;
}

function rankOf(place: string): number {
  return layers.findIndex((row) => row.includes(place));
}

/** The path below `src` that a relative module name in the file `path` means. */
function resolve(path: string, name: string): string {
  return normalize(join(dirname(path), name)).replace(/\.([cm]?)js(x?)$/, '.$1ts$2');
}

/** Why a file at `from` may not import the file at `to`, or undefined. */
function objection(from: string, to: string): string | undefined {
  if (to.startsWith('..')) return undefined;
  const [upper, lower] = [placeOf(from), placeOf(to)];
  if (upper === lower) return undefined;
  if (rankOf(lower) < 0) return `${from} imports ${to}, which is in no layer`;
  if (rankOf(lower) > rankOf(upper)) return undefined;
  return `${from} imports ${to}: ${upper} may not know ${lower}`;
}

/** Everything in `sources` that breaks the rule, one sentence each. */
function violations(sources: Sources): string[] {
  return [...sources].flatMap(([path, source]) => {
    if (rankOf(placeOf(path)) < 0) return [`${path} is in no layer`];
    return importsOf(source).flatMap(
      (name) => objection(path, name.startsWith('.') ? resolve(path, name) : '..') ?? [],
    );
  });
}

/**
 * The rings of files that import each other, each as the files in it and the first once more. Of rings that
 * have files in common not every one is told, but never none.
 */
function rings(sources: Sources): string[] {
  const imports = new Map(
    [...sources].map(([path, source]) => [path, importsOf(source).map((name) => resolve(path, name))]),
  );
  return [...imports.keys()].flatMap((first) => {
    const ring = wayBack(imports, first);
    return ring.length > 0 && ring.every((path) => path >= first) ? [[...ring, first].join(' > ')] : [];
  });
}

/**
 * The files on the shortest way along imports from `first` back to it, from `first` on; none without a way.
 */
function wayBack(imports: ReadonlyMap<string, readonly string[]>, first: string): string[] {
  const importers = new Map<string, string>();
  const reached = [first];
  for (const path of reached) {
    for (const next of imports.get(path) ?? []) {
      if (importers.has(next)) continue;
      importers.set(next, path);
      reached.push(next);
    }
  }
  const ring: string[] = [];
  for (let path = importers.get(first); path !== undefined; path = importers.get(path)) {
    ring.unshift(path);
    if (path === first) return ring;
  }
  return [];
}

/** The files that name koffi as a module, or take it from the one file that may. */
function nativeViolations(sources: Sources): string[] {
  return [...sources].flatMap(([path, source]) => {
    if (path === native) return [];
    const tokens = tokensOf(source);
    if (tokens.some(({ kind, text }) => kind === 'string' && /^(koffi(\/|$)|@koromix\/)/.test(text)))
      return [`${path} names koffi`];
    const borrowed = tokens.some(({ kind, text }) => kind === 'word' && text === 'loadKoffi');
    return borrowed && !nativeUsers.includes(placeOf(path)) ? [`${path} uses koffi from outside linux/`] : [];
  });
}

test('no folder imports from one above it', () => {
  const sources = readSources();
  assert.ok(sources.size > 20, `only ${sources.size} sources were found`);
  assert.deepEqual(violations(sources), []);
});

test('no files import each other in a ring', () => {
  assert.deepEqual(rings(readSources()), []);
});

test('only linux/ffi.ts loads koffi', () => {
  assert.deepEqual(nativeViolations(readSources()), []);
});

test('the check finds every way to import upwards', () => {
  const ways: Record<string, string> = {
    static: "import { a } from '../ioasid/a.js';",
    'for its effects': "import '../ioasid/a.js';",
    default: 'import a from "../ioasid/a.js";',
    namespace: "import * as a from '../ioasid/a.js';",
    type: "import type { A } from '../ioasid/a.js';",
    'inline type': "type A = import('../ioasid/a.js').A;",
    're-export': "export * from '../ioasid/a.js';",
    'named re-export': "export { a as b } from '../ioasid/a.js';",
    dynamic: "const a = await import('../ioasid/a.js');",
    'dynamic with a comment': "const a = await import(/* now */ '../ioasid/a.js');",
    'dynamic by template': 'const a = await import(`../ioasid/a.js`);',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is source code
    'inside a template': "const a = `${await import('../ioasid/a.js')}`;",
    'over lines': "import {\n  a,\n  b,\n}\n  from\n  '../ioasid/a.js';",
    minified: 'import{a}from"../ioasid/a.js"',
    require: "const a = require('../ioasid/a.js');",
    worker: "new Worker(new URL('../ioasid/a.js', import.meta.url));",
    'a detour': "import { a } from '../iommu/../ioasid/a.js';",
    'after a quote in a regular expression': "const quote = /['\"`]/;\nimport('../ioasid/a.js');",
    'after a division': "const half = (a) / 2; import('../ioasid/a.js'); const b = a / 2;",
  };
  for (const [way, source] of Object.entries(ways)) {
    assert.deepEqual(
      violations(new Map([['iommu/b.ts', source]])),
      ['iommu/b.ts imports ioasid/a.ts: iommu may not know ioasid'],
      way,
    );
  }
});

test('the check takes nothing else for an import', () => {
  const sources = [
    "// import { a } from '../ioasid/a.js';",
    "/* import('../ioasid/a.js') */",
    "/**\n * import { a } from '../ioasid/a.js';\n */",
    'const text = "import a from \'../ioasid/a.js\'";',
    "const text = `import a from '../ioasid/a.js'`;",
    "const pattern = /import '..\\/ioasid\\/a.js'/;",
    "const page = new URL('../ioasid/a.html', import.meta.url);",
    "import { readFileSync } from 'node:fs';",
    "import { c } from './c.js';",
    "import { d } from '../linux/d.js';",
    "import manifest from '../../package.json' with { type: 'json' };",
  ];
  for (const source of sources) assert.deepEqual(violations(new Map([['iommu/b.ts', source]])), [], source);
});

test('the check finds rings of two files, of three, of types, and of one file with itself', () => {
  const ring = (...imports: readonly (readonly [path: string, source: string])[]) => rings(new Map(imports));
  assert.deepEqual(ring(['iommu/a.ts', "import './b.js';"], ['iommu/b.ts', "import { a } from './a.js';"]), [
    'iommu/a.ts > iommu/b.ts > iommu/a.ts',
  ]);
  assert.deepEqual(
    ring(
      ['iommu/c.ts', "export * from './a.js';"],
      ['iommu/b.ts', "const c = await import('./c.js');"],
      ['iommu/a.ts', "import { b } from './b.js'; import './d.js';"],
      ['iommu/d.ts', "import { a } from './b.js';"],
    ),
    ['iommu/a.ts > iommu/b.ts > iommu/c.ts > iommu/a.ts'],
  );
  assert.deepEqual(
    ring(
      ['linux/a.ts', "import type { B } from './b.js';"],
      ['linux/b.ts', "export type A = import('./a.js').A;"],
    ),
    ['linux/a.ts > linux/b.ts > linux/a.ts'],
  );
  assert.deepEqual(ring(['cli/a.test.helper.ts', "import './a.test.helper.js';"]), [
    'cli/a.test.helper.ts > cli/a.test.helper.ts',
  ]);
  assert.equal(
    ring(
      ['iommu/a.ts', "import './b.js';"],
      ['iommu/b.ts', "import './a.js';"],
      ['linux/a.ts', "import './b.js';"],
      ['linux/b.ts', "import './a.js';"],
    ).length,
    2,
  );
});

test('the check takes ways that part and meet again for no ring', () => {
  const sources = new Map([
    ['iommu/a.ts', "import './b.js'; import './c.js'; import './d.js';"],
    ['iommu/b.ts', "import './d.js';"],
    ['iommu/c.ts', "import './d.js'; import './b.js';"],
    ['iommu/d.ts', "import '../linux/a.js'; import 'node:fs'; // import './a.js';"],
    ['linux/a.ts', ''],
  ]);
  assert.deepEqual(rings(sources), []);
});

test('the check knows the order of the layers', () => {
  const allowed = (from: string, to: string) => objection(from, to) === undefined;
  const order = [
    'conformance/a.ts',
    'testkit/a.ts',
    'cli/a.ts',
    'inspector/a.ts',
    'client/a.ts',
    'machine/a.ts',
    'devfs/a.ts',
    'trace/a.ts',
    'uapi/a.ts',
    'vfio/a.ts',
    'driver/a.ts',
    'devices/a.ts',
    'ioasid/a.ts',
    'file/a.ts',
    'iommu/a.ts',
    'linux/a.ts',
  ];
  for (const [i, upper] of order.entries()) {
    for (const lower of order.slice(i + 1)) {
      assert.ok(allowed(upper, lower), `${upper} may import ${lower}`);
      assert.ok(!allowed(lower, upper), `${lower} may not import ${upper}`);
    }
    assert.ok(!allowed(upper, 'bench/a.ts'));
  }
  for (const lower of order.slice(1)) assert.ok(allowed('bench/a.ts', lower));
  assert.ok(allowed('index.ts', 'machine/a.ts'));
  assert.ok(!allowed('vfio/a.ts', 'vdpa/a.ts'));
  assert.ok(!allowed('vdpa/a.ts', 'vfio/a.ts'));
});

test('the check finds files outside the layers', () => {
  assert.deepEqual(violations(new Map([['misc/a.ts', '']])), ['misc/a.ts is in no layer']);
  assert.deepEqual(violations(new Map([['helpers.ts', '']])), ['helpers.ts is in no layer']);
  assert.deepEqual(violations(new Map([['cli/a.ts', "import '../misc/a.js';"]])), [
    'cli/a.ts imports misc/a.ts, which is in no layer',
  ]);
});

test('the check finds koffi elsewhere', () => {
  assert.deepEqual(nativeViolations(new Map([['iommu/a.ts', "import koffi from 'koffi';"]])), [
    'iommu/a.ts names koffi',
  ]);
  assert.deepEqual(nativeViolations(new Map([['linux/a.ts', "createRequire(import.meta.url)('koffi');"]])), [
    'linux/a.ts names koffi',
  ]);
  assert.deepEqual(nativeViolations(new Map([['linux/a.ts', "import '@koromix/koffi-linux-x64';"]])), [
    'linux/a.ts names koffi',
  ]);
  assert.deepEqual(
    nativeViolations(new Map([['devfs/a.ts', "import { loadKoffi } from '../linux/ffi.js';"]])),
    ['devfs/a.ts uses koffi from outside linux/'],
  );
  assert.deepEqual(nativeViolations(new Map([['iommu/a.ts', '// no koffi here']])), []);
});
