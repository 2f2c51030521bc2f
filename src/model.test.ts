/**
 * docs/model.md tells, statement by statement, which function does it and which test proves it. Here it is
 * held to what exists: every file, every function (`Class.#member` or `name`) and every test, under that very
 * name. Whether a test proves its statement is for readers to judge.
 *
 * A name belongs to the last file named before it in the same item.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

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
 * The names in an item, each with its file. A quoted name is a test, one in backticks a file or a function.
 */
function namesIn(text: string): { file: string; kind: 'file' | 'function' | 'test'; name: string }[] {
  let file = '';
  return [...text.matchAll(/`([^`]+)`|"([^"]+)"/g)].map(([, code, quoted]) => {
    if (quoted !== undefined) return { file, kind: 'test', name: quoted };
    if (code!.startsWith('src/')) file = code!;
    return { file, kind: code === file ? 'file' : 'function', name: code! };
  });
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

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

/** The tests of a file, as patterns: what a template puts into a name may be anything. */
function testsOf(source: string): RegExp[] {
  const calls = source.matchAll(/\b(?:test|it|rule)\(\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`([^`]*)`),/g);
  return [...calls].map(([, single, double, template]) => {
    const name = single?.replaceAll("\\'", "'") ?? double ?? template ?? '';
    const parts = template === undefined ? [name] : name.split(/\$\{[^}]*\}/);
    return new RegExp(`^${parts.map(escaped).join('.+')}$`);
  });
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
