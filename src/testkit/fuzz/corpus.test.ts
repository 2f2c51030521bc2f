/** Inputs that fuzzing has left: each leads to code which the others do not. */
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Target } from './target.js';

const corpus = fileURLToPath(new URL('../../../tests/fuzz/', import.meta.url));

for (const name of readdirSync(corpus))
  test(`nothing is wrong with what the corpus of the fuzzer has for ${name}`, async () => {
    const { fuzz } = (await import(`./${name}.js`)) as { readonly fuzz: Target };
    for (const file of readdirSync(`${corpus}/${name}`)) fuzz(readFileSync(`${corpus}/${name}/${file}`));
  });
