/** What TypeDoc makes pages of (scripts/api-docs.sh). */
import { Errno } from '../../dist/linux/errno.js';

/** What says itself what it is: the names of errnos, and what keeps two kinds of numbers apart. */
const clear = [
  ...Object.keys(Errno).map((name) => `index.Errno.__type.${name}`),
  'index.Vpasid.__type.[kind]',
];

export default {
  name: 'ioasid',
  entryPoints: ['index', 'devices/registers', 'devices/options', 'devices/fake-host'].map(
    (name) => `../../src/${name}.ts`,
  ),
  tsconfig: '../../tsconfig.json',
  out: '../../site/api',
  readme: 'none',
  navigationLinks: { Guides: '../index.html' },
  // site/ lies in the checkout.
  sourceLinkTemplate: '../../../{path}#L{line}',
  disableGit: true,
  excludeInternal: true,
  excludePrivate: true,
  validation: { notDocumented: true, notExported: true, invalidLink: true },
  intentionallyNotExported: ['Caller', 'Ranges', 'ScatterList'],
  intentionallyNotDocumented: clear,
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true,
};
