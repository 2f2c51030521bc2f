/**
 * The package: what `npm pack` puts into it, and what npm does when somebody installs it.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path/posix';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
  scripts: Record<string, string>;
  exports: Record<string, Record<string, string>>;
  bin: Record<string, string>;
};

/** The paths in the package. Nothing is built for it: what is there is listed. */
const packed = listPacked();

function listPacked(): readonly string[] {
  const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{ files }] = JSON.parse(output) as [{ files: { path: string }[] }];
  return files.map(({ path }) => path);
}

test('an installed package runs no script of its own, so npm has nothing to ask about it', () => {
  for (const name of [
    'preinstall',
    'install',
    'postinstall',
    'prepublish',
    'preprepare',
    'prepare',
    'postprepare',
  ]) {
    assert.equal(manifest.scripts[name], undefined, name);
  }
});

test('the package has what its exports, its command, its docs and its ABI need', () => {
  const files = new Set(packed);
  const exported = Object.values(manifest.exports).flatMap((entry) => Object.values(entry));
  const named = [...exported, ...Object.values(manifest.bin)].map((path) => path.replace(/^\.\//, ''));
  const others = [
    'include/ioasid.h',
    'docs/abi.md',
    'examples/vm.c',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'SECURITY.md',
  ];
  for (const path of [...named, ...others]) assert.ok(files.has(path), path);
});

test('what a document of the package links to is in the package', () => {
  const there = (path: string) => packed.some((file) => file === path || file.startsWith(`${path}/`));
  const documents = packed.filter((path) => path.endsWith('.md'));
  assert.ok(documents.length > 15);
  const links = documents.flatMap((document) =>
    [...readFileSync(`${root}/${document}`, 'utf8').matchAll(/\]\((?![a-z]+:|#)([^)\s#]+)/g)].map(
      ([, link]) => ({ document, to: join(dirname(document), link!) }),
    ),
  );
  assert.ok(links.length > 50);
  assert.deepEqual(
    links.filter(({ to }) => !there(normalize(to))),
    [],
  );
});

test('the package has no tests, suites or benchmarks', () => {
  const foreign = packed.filter((path) =>
    /\.test\.|conformance|\/(bench|oracle|guest|testkit|testing|linux-suite)\//.test(path),
  );
  assert.deepEqual(foreign, []);
});

/** Compiled code of the parts of the bundle, by file, in `folder`: what each of them is for this Node. */
function compiledIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(`.${process.version}-${process.arch}`))
    .map((name) => join(folder, name));
}

/** What `ioasid devices dsa` of a copy of lib/ prints, when `spoil` was called for its compiled code. */
function saidWith(spoil: (file: string, index: number) => void): string {
  const copy = mkdtempSync(join(tmpdir(), 'ioasid-parts-'));
  try {
    for (const path of ['bin', 'lib', 'package.json'])
      cpSync(join(root, path), join(copy, path), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    compiledIn(join(copy, 'lib/parts')).forEach(spoil);
    return execFileSync(join(copy, 'bin/ioasid'), ['devices', 'dsa'], { encoding: 'utf8' });
  } finally {
    rmSync(copy, { recursive: true });
  }
}

test('the bundle does the same when its compiled code is not there, cut off, or of something else', () => {
  const files = compiledIn(join(root, 'lib/parts'));
  assert.ok(files.length > 5, 'there is compiled code to be spoilt');
  const said = saidWith(() => {});
  assert.match(said, /engines=/);
  const spoils: Record<string, (file: string, index: number) => void> = {
    missing: (file) => rmSync(file),
    empty: (file) => truncateSync(file),
    'cut off': (file) => truncateSync(file, 1000),
    noise: (file) => writeFileSync(file, new Uint8Array(100_000).fill(0xa5)),
    'of another part': (file, index) => cpSync(files[(index + 1) % files.length]!, file),
  };
  for (const [how, spoil] of Object.entries(spoils)) assert.equal(saidWith(spoil), said, how);
});

test('what V8 has compiled of the bundle says nothing of where that was', () => {
  for (const file of compiledIn(join(root, 'lib/parts'))) assert.ok(!readFileSync(file).includes(root), file);
});
