/**
 * Every refusal has a reason: each place in the sources that makes one gives a sentence, or hands one on.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** `refuse('EINVAL', ...)` or `new Refusal(Errno.EINVAL, ...)`, up to where the reason begins. */
const places = /\b(?:refuse\(|new Refusal\()\s*(?:'E[A-Z0-9]+'|[\w.!]+(?:\([^()]*\))?),\s*/g;
/** A sentence has words in it, each with a letter at least; a value alone is none. */
const sentence = /^(['"`])(?=[\s\S]{12,}?\1)(?:\$\{[^}]*\}|\S)+ \S/;

/** The places of `source` whose reason is a literal that is no sentence. */
function without(source: string): string[] {
  return [...source.matchAll(places)]
    .map((match) => source.slice(match.index + match[0].length, match.index + match[0].length + 300))
    .filter((reason) => /^['"`)]/.test(reason) && !sentence.test(reason))
    .map((reason) => reason.slice(0, 60));
}

test('every refusal of the sources has one sentence', () => {
  const root = fileURLToPath(new URL('../src/', import.meta.url));
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.ts') && !/\.test\.ts$|^testkit/.test(path),
  );
  let found = 0;
  for (const path of paths) {
    const source = readFileSync(join(root, path), 'utf8');
    found += [...source.matchAll(places)].length;
    assert.deepEqual(without(source), [], path);
  }
  assert.ok(found > 400, `only ${found} places were found`);
});

test('a refusal without a sentence is found', () => {
  for (const reason of ["''", "'no'", '``', "'EINVAL'"])
    assert.equal(without(`refuse('EINVAL', ${reason});`).length, 1, reason);
  for (const reason of ["'the length is zero'", 'why', '`the iova is not aligned`'])
    assert.deepEqual(without(`refuse(\n  'EINVAL',\n  ${reason},\n);`), [], reason);
});
