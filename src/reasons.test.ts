/**
 * Every refusal has a reason: each place in the sources that makes one gives a sentence, or hands one on. Two
 * places give the same one only when they mean the same cause.
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

/** A refusal whose errno and reason are literals. */
const literal = /\b(?:refuse\(|new Refusal\()\s*(?:'|Errno\.)(E[A-Z0-9]+)'?,\s*(['`])((?:(?!\2)[\s\S])+)\2/g;

/**
 * What `source` says in two places, or with two errnos: `said` has the errnos of each sentence so far, of all
 * files.
 */
function ambiguous(source: string, said: Map<string, string>): string[] {
  const here = new Set<string>();
  return [...source.matchAll(literal)].flatMap(([, errno = '', , text = '']) => {
    const before = said.get(text) ?? errno;
    if (!said.has(text)) said.set(text, errno);
    const twice = here.has(text) || before !== errno;
    here.add(text);
    return twice ? [text] : [];
  });
}

/** The same cause, of two calls. */
const sameCause = [
  `address \${hex(hole)} of process \${this.pid} is not mapped`,
  `device \${id} is no mock device`,
  `HWPT \${id} is not one of a mock device`,
  `operation \${op} on an option is unknown`,
];

const root = fileURLToPath(new URL('../src/', import.meta.url));
const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
  (path) => path.endsWith('.ts') && !/\.test\.ts$|^testkit/.test(path),
);

test('no file gives the same sentence for two causes, and no sentence has two errnos', () => {
  const said = new Map<string, string>();
  const found = paths.flatMap((path) => ambiguous(readFileSync(join(root, path), 'utf8'), said));
  assert.deepEqual([...new Set(found)].sort(), [...sameCause].sort());
  assert.ok(said.size > 400, `only ${said.size} sentences were found`);
});

test('a sentence that is said twice, or with two errnos, is found', () => {
  const zero = "refuse('EINVAL', 'the length is zero')";
  assert.deepEqual(ambiguous(`${zero}; ${zero}`, new Map()), ['the length is zero']);
  assert.deepEqual(ambiguous(zero, new Map([['the length is zero', 'EDOM']])), ['the length is zero']);
  assert.deepEqual(ambiguous(`${zero}; refuse('EINVAL', 'the iova is zero')`, new Map()), []);
});

test('every refusal of the sources has one sentence', () => {
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
