/**
 * Bundles the inspector's page into lib/: one script, one style sheet, one document. What the page is made
 * of is a part of the bundle, so that the package needs none of it when it runs.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const from = fileURLToPath(new URL('../src/inspector/page/', import.meta.url));
const to = fileURLToPath(new URL('../lib/inspector/page/', import.meta.url));

mkdirSync(to, { recursive: true });
await build({
  entryPoints: [`${from}main.tsx`, `${from}main.css`],
  outdir: to,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'inline',
  logLevel: 'warning',
});
copyFileSync(`${from}index.html`, `${to}index.html`);
