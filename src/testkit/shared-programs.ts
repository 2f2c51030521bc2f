/**
 * Imported before the tests of all suites, like full-sizes.ts: first by Node's test runner, which makes a
 * folder for the C programs of the tests, and then by the test processes that it starts, which share it.
 */
import { ownFolder, SHARED_PROGRAMS } from './c-program.js';

process.env[SHARED_PROGRAMS] ??= ownFolder();
