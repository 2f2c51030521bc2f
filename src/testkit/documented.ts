/**
 * What documents name: files, functions and tests, so that a document can be held to what exists. A name
 * belongs to the last file named before it in the same item.
 */

/** A name, and the file that it is in. */
export interface DocumentedName {
  readonly file: string;
  readonly kind: 'file' | 'function' | 'test';
  readonly name: string;
}

/**
 * The names in an item of a document, each with its file. A quoted name is a test, one in backticks a file or
 * a function.
 */
export function namesIn(text: string): DocumentedName[] {
  let file = '';
  return [...text.matchAll(/`([^`]+)`|"([^"]+)"/g)].map(([, code, quoted]) => {
    if (quoted !== undefined) return { file, kind: 'test', name: quoted };
    if (code!.startsWith('src/')) file = code!;
    return { file, kind: code === file ? 'file' : 'function', name: code! };
  });
}

export function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** The tests of a file, as patterns: what a template puts into a name may be anything. */
export function testsOf(source: string): RegExp[] {
  const calls = source.matchAll(/\b(?:test|it|rule)\(\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`([^`]*)`),/g);
  return [...calls].map(([, single, double, template]) => {
    const name = single?.replaceAll("\\'", "'") ?? double ?? template ?? '';
    const parts = template === undefined ? [name] : name.split(/\$\{[^}]*\}/);
    return new RegExp(`^${parts.map(escaped).join('.+')}$`);
  });
}
