/**
 * What fits: a line into 110 columns, a function into 60 lines, a file into 400.
 *
 * Lines are those of code, comments and docs; a tab is eight columns. In Markdown rows of tables, URLs and
 * blocks of code may be wider. Functions are those of testkit/functions.ts, tests among them; those of C
 * begin and end with a brace in the first column. The ABI's header is longer: it is one table of structs.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { functionsOf } from './testkit/functions.js';

const WIDTH = 110;
const FUNCTION_LINES = 60;
const FILE_LINES = 400;
const LONGER = ['include/ioasid.h'];
const repository = fileURLToPath(new URL('../', import.meta.url));
const folders = '.ci bench docs examples include oracle qemu scripts src tests/c uml'.split(' ');

/** The files of the repository whose names end so, by their paths in it. */
function filesEnding(pattern: RegExp): string[] {
  const inFolders = folders.flatMap((folder) =>
    readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
      join(folder, name),
    ),
  );
  return [...readdirSync(repository), ...inFolders].filter((path) => pattern.test(path));
}

const read = (path: string) => readFileSync(join(repository, path), 'utf8');

/** How many columns a line takes. */
function widthOf(line: string): number {
  let column = 0;
  for (const character of line) column += character === '\t' ? 8 - (column % 8) : 1;
  return column;
}

/** The lines of Markdown that must fit. */
function proseOf(text: string): string {
  const prose = text.replace(/^( *)```[\s\S]*?^\1```$/gm, (block) => block.replace(/[^\n]+/g, ''));
  return prose.replace(/^ *\|.*$/gm, '').replace(/https?:\/\/[^\s)>]+/g, '');
}

function wideLines(path: string, text: string): string[] {
  const lines = (path.endsWith('.md') ? proseOf(text) : text).split('\n');
  return lines.flatMap((line, n) =>
    widthOf(line) > WIDTH ? [`${path}:${n + 1}: ${widthOf(line)} columns`] : [],
  );
}

/** The functions of C in `source`. */
function functionsOfC(source: string) {
  const found = source.matchAll(/^(?:(?!typedef|struct|enum|union)\w[^\n;=]*\)[^\n;=]*)?\{\n[\s\S]*?^\}$/gm);
  return [...found].map(({ 0: text, index }) => ({
    name: text.split('\n')[0]!,
    line: source.slice(0, index).split('\n').length,
    lines: text.split('\n').length,
  }));
}

function longFunctions(path: string, text: string): string[] {
  const functions = /\.[ch]$/.test(path) ? functionsOfC(text) : functionsOf(text);
  const long = functions.filter(({ lines }) => lines > FUNCTION_LINES);
  return long.map(({ name, line, lines }) => `${path}:${line}: ${name} has ${lines} lines`);
}

test('lines fit into 110 columns', () => {
  const paths = filesEnding(/\.(?:[cm]?[jt]s|[ch]|md|sh)$|^\.ci\//);
  assert.ok(paths.length > 300, `only ${paths.length} files were found`);
  assert.deepEqual(
    paths.flatMap((path) => wideLines(path, read(path))),
    [],
  );
});

test('functions fit into 60 lines, and files into 400', () => {
  const paths = filesEnding(/\.(?:[cm]?[jt]s|[ch])$/);
  assert.deepEqual(
    paths.flatMap((path) => longFunctions(path, read(path))),
    [],
  );
  assert.deepEqual(
    paths.filter((path) => read(path).trimEnd().split('\n').length > FILE_LINES),
    LONGER,
  );
});

test('the measures find what does not fit, and nothing else', () => {
  assert.deepEqual(wideLines('a.c', `${'\t'.repeat(13)}123456\n${'\t'.repeat(13)}1234567`), [
    'a.c:2: 111 columns',
  ]);
  const wide = 'a '.repeat(60);
  assert.deepEqual(
    wideLines('a.md', `| ${wide} |\n\`\`\`sh\n${wide}\n\`\`\`\n<https://${'a'.repeat(120)}>\n${wide}`),
    ['a.md:6: 120 columns'],
  );
  const c = (lines: number) => `static int f(void)\n{\n${'\ta;\n'.repeat(lines - 2)}}\n`;
  assert.deepEqual(longFunctions('a.c', c(60)), []);
  assert.deepEqual(longFunctions('a.c', `int a;\n\n${c(61)}`), ['a.c:4: { has 61 lines']);
  assert.deepEqual(longFunctions('a.c', `struct a {\n${'\tint b;\n'.repeat(80)}};\n`), []);
  const ts = (lines: number) => `function f() {\n${'  a;\n'.repeat(lines - 2)}}\n`;
  assert.deepEqual(longFunctions('a.ts', ts(60)), []);
  assert.deepEqual(longFunctions('a.ts', ts(61)), ['a.ts:1: f ( ) { has 61 lines']);
});
