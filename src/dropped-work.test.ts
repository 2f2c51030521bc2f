/**
 * Work that nobody does. A generator does nothing before its first `next`, and to drop what a call returns is
 * no error in TypeScript: not in a statement, and not where a function that is to return nothing returns it.
 * The compiler's types say where that happens; what they hide behind `object` or a generic they do not.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ClassLikeDeclaration, type Expression, type Node, SyntaxKind } from 'typescript/unstable/ast';
import * as is from 'typescript/unstable/ast/is';
import { API, type Checker, SignatureKind, type Type, TypeFlags } from 'typescript/unstable/sync';

const root = fileURLToPath(new URL('../', import.meta.url));

/** Where work is dropped in the project of `folder`: `file:line`. */
function droppedIn(folder: string): string[] {
  const api = new API({ cwd: folder });
  try {
    const config = join(folder, 'tsconfig.json');
    const { program, checker } = api.updateSnapshot({ openProjects: [config] }).getProject(config)!;
    return program
      .getSourceFileNames()
      .filter((name) => name.startsWith(join(folder, 'src/')))
      .flatMap((name) => {
        const file = program.getSourceFile(name)!;
        return [...droppedWork(file, checker), ...hiddenMethods(file, checker)].map(
          (node) => `${name.slice(folder.length)}:${lineOf(node.getStart(file), file.text)}`,
        );
      });
  } finally {
    api.close();
  }
}

/** The expressions below `file` whose values are work, and which nobody sees. */
function droppedWork(file: Node, checker: Checker): Expression[] {
  const values: Expression[] = [];
  visit(file, (node) => {
    if (is.isVoidExpression(node)) values.push(node.expression);
    if (is.isExpressionStatement(node) && !isAssignment(node.expression)) values.push(node.expression);
    if (is.isArrowFunction(node) && !is.isBlock(node.body)) values.push(node.body);
  });
  // One question for all of them: one for each takes half as long again.
  const types = checker.getTypeAtLocation(values);
  return values.filter((value, i) => {
    const [type, { parent }] = [types[i], value];
    if (!type?.isUnionType() && !isWork(type)) return false;
    if (is.isArrowFunction(parent) && !returnsNothing(checker.getContextualType(parent), checker))
      return false;
    return isWork(type);
  });
}

/** The methods of classes below `file` that return work, and nothing by what the class implements. */
function hiddenMethods(file: Node, checker: Checker): Node[] {
  const found: Node[] = [];
  visit(file, (node) => {
    if (!is.isClassDeclaration(node)) return;
    const bases = basesOf(node, checker);
    if (bases.length === 0) return;
    for (const method of node.members.filter(is.isMethodDeclaration)) {
      const signature = checker.getSignatureFromDeclaration(method);
      if (signature === undefined || !isWork(checker.getReturnTypeOfSignature(signature))) continue;
      const { text } = method.name as { text?: string };
      const declared = bases.map((base) => text && checker.getPropertyOfType(base, text));
      if (declared.some((symbol) => symbol && returnsNothing(checker.getTypeOfSymbol(symbol), checker)))
        found.push(method);
    }
  });
  return found;
}

function basesOf(node: ClassLikeDeclaration, checker: Checker): Type[] {
  const clauses = node.heritageClauses ?? [];
  return clauses.flatMap(({ types }) => types.flatMap((type) => checker.getTypeAtLocation(type) ?? []));
}

function visit(node: Node, see: (node: Node) => void): void {
  see(node);
  node.forEachChild((child) => visit(child, see));
}

function isAssignment(node: Expression): boolean {
  return is.isBinaryExpression(node) && node.operatorToken.kind === SyntaxKind.EqualsToken;
}

function returnsNothing(type: Type | undefined, checker: Checker): boolean {
  if (type === undefined) return false;
  const some = type.isUnionType() ? type.getTypes() : [type];
  const signatures = some.flatMap((each) => checker.getSignaturesOfType(each, SignatureKind.Call));
  const results = signatures.map((signature) => checker.getReturnTypeOfSignature(signature));
  return results.length > 0 && results.every((result) => result && (result.flags & TypeFlags.Void) !== 0);
}

/** Is it, or may it be, a generator? */
function isWork(type: Type | undefined): boolean {
  if (type === undefined) return false;
  if (type.isUnionType()) return type.getTypes().some(isWork);
  return (type.flags & TypeFlags.Object) !== 0 && type.getSymbol()?.name === 'Generator';
}

function lineOf(position: number, text: string): number {
  return text.slice(0, position).split('\n').length;
}

test('no call that takes long is dropped without being done', () => {
  assert.deepEqual(droppedIn(root), []);
});

const DROPPING = `
type Work<T> = Generator<undefined, T, undefined>;
interface Closes { close(): void }
declare function close(): Work<void>;
declare function perhaps(): Work<void> | undefined;
declare function each(steps: (() => void)[]): void;
declare let kept: Work<void>;
close();             // 8
void close();        // 9
perhaps();           // 10
each([() => close()]); // 11
class File implements Closes {
  *close(): Work<void> {} // 13
}
const end: () => void = () => close(); // 15
kept = close();
each([() => { for (const _ of close()); }]);
`;

test('work is found where it is dropped, and only there', () => {
  const folder = `${mkdtempSync(join(tmpdir(), 'ioasid-'))}/`;
  try {
    const compilerOptions = { target: 'es2022', lib: ['es2023'], strict: true, types: [] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
    mkdirSync(join(folder, 'src'));
    writeFileSync(join(folder, 'src/file.ts'), DROPPING);
    assert.deepEqual(
      droppedIn(folder).sort(),
      [10, 11, 13, 15, 8, 9].map((line) => `src/file.ts:${line}`),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
