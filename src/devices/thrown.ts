/**
 * What a model's module or factory has thrown, as a sentence that says where: file and line.
 *
 * A plain Error, and a Refusal, is meant for whoever gave the options: its message is the sentence. Anything
 * else is a mistake in the code, and keeps its stack, which is printed once.
 */
import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Refusal, refuse } from '../linux/errno.js';
import { ownFile } from '../linux/own-package.js';

/**
 * Where ioasid's own files are, of which nobody wants to hear: what runs here, or the model's own copy,
 * and what reads the command line, which awaits all of it.
 */
const own = ['dist/', 'lib/'].map((folder) => ownFile(folder));
const OURS = ['/node_modules/ioasid/', '/node_modules/commander/'];
/** A line of a stack with a file in it, or the head of one: path and line. */
const FRAME = /^(?:.* \(|\s*at (?:async )?)?((?:file:\/)?\/[^\n]*?):(\d+)(?::\d+)?\)?$/gm;
/** One of a call that has not returned: what waits for it is not its place. */
const CALLED = /^(?!\s*at async )(?:.* \(|\s*at )((?:file:\/)?\/[^\n]*?):(\d+)(?::\d+)?\)?$/gm;
/** Another process finds the line of a syntax error: it does no more than to read the modules. */
const FIND_MS = 10_000;

/** Refuses what is called `device`, whose module cannot be imported. @throws Refusal EINVAL */
export function refuseImport(device: string, url: string, error: unknown): never {
  const untyped = ofTypeScript(url, error);
  if (untyped !== undefined) refuse('EINVAL', `device "${device}" ${untyped}`);
  const place = placeOf(error) ?? (error instanceof SyntaxError ? placeOfSyntax(url) : undefined);
  const misnamed = ofOtherModules(error, place);
  if (misnamed !== undefined) refuse('EINVAL', `device "${device}" cannot be loaded: ${misnamed}`);
  return refuse('EINVAL', `device "${device}" cannot be loaded: ${sentence(error)}${at(place)}`, error);
}

/** Calls what makes a model: `what`. @throws what it throws, with its place where that is a mistake. */
export function callFactory<T>(what: string, factory: () => T): T {
  try {
    return factory();
  } catch (error) {
    if (error instanceof Error && error.constructor === Error) throw error;
    const place = at(placeOf(error, CALLED));
    if (isRefusal(error)) throw new Refusal(error.errno, `${error.reason}${place}`, error.cause);
    return refuse('EINVAL', `${what} threw ${nameOf(error)}: ${sentence(error)}${place}`, error);
  }
}

/** Does what belongs to `device`. @throws what it throws, with that name before it. */
export function naming<T>(device: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    return saidOf(device, error);
  }
}

/** Throws `error`, with what it is about, or where that is written, before it. */
export function saidOf(what: string | undefined, error: unknown): never {
  if (what === undefined || !(error instanceof Error)) throw error;
  if (error instanceof Refusal) throw new Refusal(error.errno, `${what}: ${error.reason}`, error.cause);
  error.message = `${what}: ${error.message}`;
  throw error;
}

/** What to do about a module in TypeScript that this Node does not load; undefined: it is something else. */
function ofTypeScript(url: string, error: unknown): string | undefined {
  if (!/\.[cm]?ts$/.test(url) || !(error instanceof Error)) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION')
    return (
      `is TypeScript, which Node ${process.versions.node} does not load: ` +
      'use Node 22.18 or newer, a loader (NODE_OPTIONS="--import tsx"), or compile it'
    );
  if (code === 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING')
    return 'is TypeScript in node_modules, where Node strips no types: compile it';
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX')
    return `has TypeScript that is more than types (${sentence(error)}): use a loader, or compile it`;
  return undefined;
}

/** What to do about an ES module that Node takes for CommonJS, as all of a project that `npm init` makes. */
function ofOtherModules(error: unknown, place: string | undefined): string | undefined {
  const isOne = /^(Cannot use import statement outside a module|Unexpected token 'export')/;
  const [, path, extension] = /^(.*)\.c?([jt]s):\d+$/.exec(place ?? '') ?? [];
  if (path === undefined || !(error instanceof SyntaxError) || !isOne.test(error.message)) return undefined;
  const name = `${basename(path)}.m${extension}`;
  const cure = `call it ${name}, or set "type": "module" in package.json`;
  return `it is an ES module (${place}), and taken for CommonJS: ${cure}`;
}

/** `FILE:LINE` of the first code in the stack of `error` that is neither Node's nor ours. */
function placeOf(error: unknown, frame = FRAME): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const frames = String(error.stack).matchAll(frame);
  for (const [, path = '', line] of frames) {
    const file = path.startsWith('file:') ? fileURLToPath(path) : path;
    if (!isOwn(file)) return `${file}:${line}`;
  }
  return undefined;
}

/** The frames of `stack` that are neither Node's nor ours, a line each; empty: it has none. */
export function framesOf(stack: string): string {
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line));
  const theirs = frames.filter((line) => {
    const [[, path = 'node:'] = []] = line.matchAll(FRAME);
    return path !== 'node:' && !isOwn(path.startsWith('file:') ? fileURLToPath(path) : path);
  });
  return theirs.join('\n');
}

/** `stack` without the frames that are Node's or ours; as it is, when there are no others. */
export function shortened(stack: string): string {
  const frames = framesOf(stack);
  return frames === '' ? stack : `${stack.split(/\n\s+at /, 1)[0]}\n${frames}`;
}

function isOwn(file: string): boolean {
  return own.some((folder) => file.startsWith(folder)) || OURS.some((part) => file.includes(part));
}

/** Also one of another copy of ioasid, which the model has from its own project. */
function isRefusal(error: unknown): error is Refusal {
  return error instanceof Error && error.name === 'Refusal' && 'reason' in error && 'errno' in error;
}

/** V8 tells the place of a syntax error in an ES module when it ends the process, and to nobody else. */
function placeOfSyntax(url: string): string | undefined {
  const script = `import ${JSON.stringify(url)};`;
  const { stderr } = spawnSync(
    process.execPath,
    [
      ...process.execArgv.filter((word) => !word.startsWith('--inspect')),
      '--input-type=module',
      '-e',
      script,
    ],
    { encoding: 'utf8', timeout: FIND_MS, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const [, path, line] = /^((?:file:\/)?\/.*):(\d+)$/m.exec(stderr ?? '') ?? [];
  return path && `${path.startsWith('file:') ? fileURLToPath(path) : path}:${line}`;
}

function at(place: string | undefined): string {
  return place === undefined ? '' : ` (${place})`;
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'what is no Error';
}

/** The first line of an error's message, without a full stop. */
function sentence(error: unknown): string {
  const message = isRefusal(error) ? error.reason : error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0]!.replace(/\.$/, '');
}
