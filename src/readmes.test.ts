/** The README of a folder of sources is a map of it: what it names is there. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

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
