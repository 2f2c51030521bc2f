/** Options of a context and of an IOAS, and the IOAS of the VFIO container ioctls. */
import assert from 'node:assert/strict';
import { Iommufd } from '../client/iommufd.js';
import { refused } from '../testkit/refused.js';
import { OPTION_HUGE_PAGES, OPTION_RLIMIT_MODE } from '../uapi/iommufd.js';
import { PAGES } from './bound.js';
import { rulesOf } from './rule.js';

const rule = rulesOf('iommufd');

rule('options: large pages of an IOAS, the way of counting of a context', (transport) => {
  const iommufd = Iommufd.open(transport);
  assert.equal(iommufd.option(OPTION_RLIMIT_MODE), 0n);
  refused(() => iommufd.setOption(OPTION_RLIMIT_MODE, 0, 2), 'EINVAL', /2/);
  iommufd.setOption(OPTION_RLIMIT_MODE, 0, 1);
  assert.equal(iommufd.option(OPTION_RLIMIT_MODE), 1n);
  const ioas = iommufd.ioasAlloc();
  refused(() => iommufd.setOption(OPTION_RLIMIT_MODE, 0, 0), 'EBUSY', /objects/);
  assert.equal(iommufd.option(OPTION_HUGE_PAGES, ioas), 1n);
  iommufd.setOption(OPTION_HUGE_PAGES, ioas, 0);
  assert.equal(iommufd.ranges(ioas).alignment, PAGES);
  iommufd.setOption(OPTION_HUGE_PAGES, ioas, 1);
  assert.equal(iommufd.ranges(ioas).alignment, 1n);
  refused(() => iommufd.option(OPTION_HUGE_PAGES, 4711), 'ENOENT', /4711/);
  refused(() => iommufd.option(99), 'EOPNOTSUPP', /99/);
  iommufd.close();
});

rule('the IOAS of the VFIO container ioctls is named, asked for and cleared', (transport) => {
  const iommufd = Iommufd.open(transport);
  refused(() => iommufd.vfioIoas(), 'ENODEV');
  const ioas = iommufd.ioasAlloc();
  iommufd.setVfioIoas(ioas);
  assert.equal(iommufd.vfioIoas(), ioas);
  iommufd.setVfioIoas(undefined);
  refused(() => iommufd.vfioIoas(), 'ENODEV');
  refused(() => iommufd.setVfioIoas(4711), 'ENOENT', /4711/);
  iommufd.close();
});
