import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ALONE, compiled, filesTogether, foldersTogether, processesFor, testFiles } from './together.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** What a suite gives to Node's test runner; npm test, when it has no name. */
function givenBy(...suite: string[]): string[] {
  const said = execFileSync(join(root, 'scripts/test.sh'), ['-l', ...suite], { encoding: 'utf8' });
  return said.trim().split('\n');
}

/** The test files that are run for an argument. */
function filesOf(path: string): string[] {
  const file = path.replace(/^dist\//, '');
  const folder = foldersTogether().get(file);
  return folder === undefined ? [file] : filesTogether(folder);
}

test('every test file is run exactly once, by npm test or one of the three suites beside it', () => {
  const given = [...givenBy(), ...['programs', 'examples', 'hostile'].flatMap((suite) => givenBy(suite))];
  const run = given.flatMap(filesOf);
  assert.ok(run.length > 280, `only ${run.length} test files`);
  assert.deepEqual(run.sort(), testFiles());
});

test('the files of a folder share a process only where all of them are wanted', () => {
  const [[entry, folder]] = [...foldersTogether()] as [[string, string]];
  const inside = filesTogether(folder);
  assert.deepEqual(processesFor([...inside, 'package.test.js']), [entry, 'package.test.js']);
  assert.deepEqual(processesFor(inside.slice(1)), inside.slice(1));
});

test('a file that is to be alone is there, in a folder that shares a process', () => {
  const folders = new Set(foldersTogether().values());
  for (const file of Object.keys(ALONE)) {
    assert.ok(testFiles().includes(file), file);
    assert.ok(folders.has(file.split('/')[0]!), file);
  }
});

/** Node's report, as TAP, on test files with this text that share a process. */
function reportOn(texts: Record<string, string>): { report: string; status: number | null } {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-together-'));
  try {
    mkdirSync(join(folder, 'some'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    for (const [name, text] of Object.entries(texts))
      writeFileSync(join(folder, `some/${name}.test.js`), `import * as t from 'node:test';\n${text}`);
    const imported = `import { together } from '${compiled}testkit/together.js';`;
    writeFileSync(join(folder, 'some.js'), `${imported}\ntogether(import.meta.url, '${folder}');`);
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const options = ['--test', '--test-reporter=tap', join(folder, 'some.js')];
    const { stdout, status } = spawnSync(process.execPath, options, { env, encoding: 'utf8' });
    return { report: stdout, status };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The results of a report, without their numbers, and the lines that the tests have printed, in order. */
function resultsIn(report: string): string[] {
  return [...report.matchAll(/^ *((?:not )?ok) \d+( - .*)$/gm)].map(([, result, name]) => result! + name);
}

test('files that share a process are suites of their own, and their hooks run for them alone', () => {
  const says = (text: string) => `() => console.log('${text}')`;
  const { report, status } = reportOn({
    a: `t.before(${says('before a')}); t.after(${says('after a')}); t.test('in a', ${says('in a')});`,
    b: `await null; t.beforeEach(${says('each of b')}); t.test('in b', ${says('in b')});`,
    c: `t.test('in c', ${says('in c')});`,
  });
  assert.equal(status, 0, report);
  const suites = ['a', 'b', 'c'].flatMap((name) => [`ok - in ${name}`, `ok - some/${name}.test.js`]);
  assert.deepEqual(resultsIn(report), [...suites, 'ok - some']);
  const printed = [...report.matchAll(/^# ((?:before|after|each|in) .*)$/gm)].map(([, text]) => text);
  assert.deepEqual(printed, ['before a', 'in a', 'after a', 'each of b', 'in b', 'in c']);
});

test('what fails, throws later or cannot be imported fails its own file, and the others run', () => {
  const { report, status } = reportOn({
    asserts: "t.test('asserts', () => { throw new Error('asserted'); });",
    imports: "import './not-there.js';",
    later: "t.test('later', () => new Promise(() => setTimeout(() => { throw new Error('thrown'); })));",
    syntax: 'const;',
    well: "t.test('well', () => {});",
  });
  assert.equal(status, 1);
  assert.deepEqual(resultsIn(report), [
    'not ok - asserts',
    'not ok - some/asserts.test.js',
    'not ok - some/imports.test.js',
    'not ok - later',
    'not ok - some/later.test.js',
    'not ok - some/syntax.test.js',
    'ok - well',
    'ok - some/well.test.js',
    'not ok - some',
  ]);
  for (const reason of ['asserted', 'not-there.js', 'thrown']) assert.match(report, new RegExp(reason));
});
