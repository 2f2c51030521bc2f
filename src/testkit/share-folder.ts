/**
 * Imported before the tests of all suites, like full-sizes.ts: first by Node's test runner, and then by the
 * test processes that it starts.
 */
import { shareFolder } from './shared-folder.js';

shareFolder();
