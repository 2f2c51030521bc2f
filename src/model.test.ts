/**
 * docs/model.md tells, statement by statement, which function does it and which test proves it. Here it is
 * held to what exists: every file, every function (`Class.#member` or `name`) and every test, under that very
 * name. Whether a test proves its statement is for readers to judge.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { escaped, namesIn, testsOf } from './testkit/documented.js';

const repository = new URL('../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, repository), 'utf8');

/** A `- what: ...` item of a statement. */
interface Item {
  readonly statement: string;
  readonly what: string;
  readonly text: string;
}

const document = read('docs/model.md');
const statements = document.split(/^(?=\*\*)/m).slice(1);

function itemsOf(statement: string): Item[] {
  const [title = ''] = statement.split('\n');
  const items = statement.split(/^#/m)[0]!.split(/^- /m).slice(1);
  return items.map((item) => {
    const colon = item.indexOf(': ');
    return { statement: title, what: item.slice(0, colon), text: item.slice(colon + 2).replace(/\s+/g, ' ') };
  });
}

const items = statements.flatMap(itemsOf);

/**
 * Does `source` define the function? A member stands two spaces in, in the class of that name; calls stand
 * deeper, or elsewhere.
 */
function defines(source: string, name: string): boolean {
  const [first = '', member] = name.split('.');
  if (member === undefined)
    return new RegExp(`^(?:export )?(?:async )?function\\*? ${escaped(first)}\\b`, 'm').test(source);
  const body =
    new RegExp(`^export (?:abstract )?class ${escaped(first)}\\b[^]*?^}`, 'm').exec(source)?.[0] ?? '';
  return new RegExp(`^  (?:static |async |get |\\*)*${escaped(member)}(?:<[^(]*>)?\\(`, 'm').test(body);
}

test('every statement of docs/model.md says what does it and what proves it', () => {
  assert.ok(statements.length > 30, `only ${statements.length} statements were found`);
  for (const statement of statements) {
    const [title] = statement.split('\n');
    const whats = itemsOf(statement).map(({ what }) => what);
    assert.deepEqual(
      whats.filter((what) => what !== 'open'),
      ['does it', 'proves it'],
      title,
    );
    const proof = itemsOf(statement).find(({ what }) => what === 'proves it')!;
    assert.ok(
      namesIn(proof.text).some(({ kind }) => kind === 'test'),
      `${title} names no test`,
    );
  }
});

test('every file, function and test that docs/model.md names is there', () => {
  const missing: string[] = [];
  const relevant = items.filter(({ what }) => what !== 'open');
  for (const { statement, text } of relevant) {
    for (const { file, kind, name } of namesIn(text)) {
      const there = existsSync(new URL(file, repository)) && file !== '';
      const source = there ? read(file) : '';
      const found =
        kind === 'file' ||
        (kind === 'function' ? defines(source, name) : testsOf(source).some((each) => each.test(name)));
      if (!there || !found) missing.push(`${kind} ${name} in ${file || 'no file'}, at: ${statement}`);
    }
  }
  assert.deepEqual(missing, []);
});

test('a name that is not there is found missing', () => {
  const source = [
    'export class A {',
    '  b(): void {',
    '    this.c();',
    '  }',
    '}',
    'function d() {}',
    "test('e is f', () => {});",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is source code
    'rule(`${N} rounds`, () => {});',
  ].join('\n');
  assert.deepEqual(
    ['A.b', 'A.c', 'B.b', 'd', 'b'].map((name) => defines(source, name)),
    [true, false, false, true, false],
  );
  const isTest = (name: string) => testsOf(source).some((each) => each.test(name));
  assert.deepEqual(['e is f', 'e is', '10000 rounds', 'rounds'].map(isTest), [true, false, true, false]);
});
