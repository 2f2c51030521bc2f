/**
 * What READMEs say is there. The README of a folder of sources is a map of it; a listing of README.md or docs
 * is executed by a test, or it is said why not (testkit/listing-index.ts).
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { listingIndex } from './testkit/listing-index.js';
import { listingsOf } from './testkit/listings.js';

const sources = fileURLToPath(new URL('../src/', import.meta.url));

/** The files that `readme` names and that are neither in its folder nor, with a folder before, in src. */
function missing(readme: string): string[] {
  const folder = dirname(readme);
  const names = [...readFileSync(join(sources, readme), 'utf8').matchAll(/`([\w./-]+\.ts)`/g)];
  return names
    .map(([, name]) => name!)
    .filter((name) => !existsSync(join(sources, folder, name)) && !existsSync(join(sources, name)))
    .map((name) => `${readme}: ${name}`);
}

test('each file that the README of a folder names is there', () => {
  const all = readdirSync(sources, { recursive: true }) as string[];
  const readmes = all.filter((path) => basename(path) === 'README.md');
  assert.ok(readmes.length >= 10);
  assert.deepEqual(readmes.flatMap(missing), []);
});

const root = fileURLToPath(new URL('../', import.meta.url));
const documents = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)];

test('each listing of README.md and docs is executed by one test, or has a reason why not', () => {
  const listings = documents.filter((name) => name.endsWith('.md')).flatMap(listingsOf);
  assert.ok(listings.length > 60);
  const rows = listings.map(({ document, line, text }) => {
    const found = listingIndex.filter(([where, words]) => where === document && text.includes(words));
    return { place: `${document}:${line}`, rows: found.length };
  });
  assert.deepEqual(
    rows.filter((each) => each.rows !== 1),
    [],
  );
  const there = listingIndex.filter(([document]) => documents.includes(document));
  assert.equal(there.length, listings.length);
});

test('each fence of README.md and docs begins or ends a listing, indented or marked as it may be', () => {
  for (const document of documents.filter((name) => name.endsWith('.md'))) {
    const fences = readFileSync(join(root, document), 'utf8').match(/^\s*(```|~~~)/gm) ?? [];
    assert.equal(fences.length, 2 * listingsOf(document).length, document);
  }
});

test('a test that executes a listing of a document reads that document', () => {
  for (const [document, words, by] of listingIndex)
    if (!by.startsWith('not run: '))
      assert.ok(readFileSync(join(root, by), 'utf8').includes(document), `${by} of ${document}: ${words}`);
});

test('each command of npm run that README.md and docs name is there', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object };
  const named = documents
    .filter((name) => name.endsWith('.md'))
    .flatMap((name) => [...readFileSync(join(root, name), 'utf8').matchAll(/npm run ([\w:-]+)/g)]);
  const missing = named.map(([, name]) => name!).filter((name) => !Object.hasOwn(scripts, name));
  assert.deepEqual(missing, []);
});
