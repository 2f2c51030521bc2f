/**
 * The docs as one small static site, in site/: a page for README.md and for each file of docs/, with links
 * between them, to the API pages (site/api, of api-docs.sh), and to what they name in the checkout that site/
 * lies in.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Marked } from 'marked';

const root = fileURLToPath(new URL('../', import.meta.url));
const site = `${root}site/`;
const names = readdirSync(`${root}docs`).filter((name) => name.endsWith('.md'));
const sources = ['README.md', 'CHANGELOG.md', ...names.map((name) => `docs/${name}`)];
/** By the path of a source: the page that is made of it. */
const pages = new Map(
  sources.map((path) => [path, path === 'README.md' ? 'index.html' : `${posix.basename(path, '.md')}.html`]),
);

/** As GitHub names a heading in links. */
const slugOf = (text) =>
  text
    .toLowerCase()
    .replace(/<[^>]*>|[^\w\- ]/g, '')
    .replaceAll(' ', '-');

const escaped = (text) =>
  text.replace(/[&<>"]/g, (each) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[each]);

/** Where a link in the source at `path` leads on the site. */
function targetOf(path, href) {
  if (/^[a-z]+:|^#/.test(href)) return href;
  const [file, anchor] = href.split('#');
  const target = posix.normalize(posix.join(posix.dirname(path), file));
  const page =
    pages.get(target) ??
    (/^docs\/.*\.(svg|png|json)$/.test(target) ? posix.basename(target) : `../${target}`);
  return anchor === undefined ? page : `${page}#${anchor}`;
}

function bodyOf(path, text) {
  const marked = new Marked({
    walkTokens: (token) => {
      if (token.type === 'link' || token.type === 'image') token.href = targetOf(path, token.href);
    },
    renderer: {
      heading({ tokens, depth, text: title }) {
        return `<h${depth} id="${slugOf(title)}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
      },
    },
  });
  return marked.parse(text);
}

const style = `:root{color-scheme:light dark}body{max-width:52rem;margin:2rem auto;padding:0 1rem;
font:16px/1.5 system-ui,sans-serif}pre{overflow-x:auto;padding:.8rem;background:light-dark(#f2f3f5,#22262b)}
code{font-size:.9em}table{border-spacing:0;display:block;overflow-x:auto}td,th{padding:.2rem .6rem;
border-bottom:1px solid #8886;text-align:left;vertical-align:top}nav{font-size:.85em}img{max-width:100%}`;

mkdirSync(site, { recursive: true });
for (const name of readdirSync(site)) if (name !== 'api') rmSync(site + name, { recursive: true });
const texts = new Map(sources.map((path) => [path, readFileSync(root + path, 'utf8')]));
const titleOf = (path) => /^# (.*)$/m.exec(texts.get(path))?.[1] ?? path;
const linkTo = (path) => `<a href="${pages.get(path)}">${escaped(titleOf(path))}</a>`;
const links = [...sources.map(linkTo), '<a href="api/index.html">API</a>'].join(' · ');
for (const [path, page] of pages) {
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width">`;
  const title = `<title>${escaped(titleOf(path))}</title><style>${style}</style>`;
  const body = `<nav>${links}</nav><main>${bodyOf(path, texts.get(path))}</main>`;
  writeFileSync(site + page, `<!doctype html><html lang="en">${head}${title}<body>${body}</body></html>\n`);
}
for (const name of readdirSync(`${root}docs`))
  if (/\.(svg|png|json)$/.test(name)) copyFileSync(`${root}docs/${name}`, site + name);

/** A link to a page that is not there, or to a heading that it has not, is a mistake in the docs. */
const dead = [...pages.values()].flatMap((page) => {
  const html = readFileSync(site + page, 'utf8');
  return [...html.matchAll(/href="([^":]*?)(?:#([^"]*))?"/g)].flatMap(([, to, anchor]) => {
    const target = to === '' ? page : to;
    if (!existsSync(site + target)) return [`${page}: ${target}`];
    const there =
      anchor === undefined ||
      target.startsWith('../') ||
      readFileSync(site + target, 'utf8').includes(`id="${anchor}"`);
    return there ? [] : [`${page}: ${target}#${anchor}`];
  });
});
for (const each of dead) console.error(`a link leads nowhere: ${each}`);
console.log(`${pages.size} pages in site/`);
process.exitCode = dead.length > 0 ? 1 : 0;
