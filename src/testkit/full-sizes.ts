/**
 * Imported before the tests of all suites (`--import` in package.json): properties get lists as long as their
 * `maxLength` and `maxCommands` say.
 *
 * Without it fast-check makes none of more than 10 elements, whatever the maximum: its default size is small,
 * and a maximum only lowers it. The mistakes that a property is to find often take more than ten calls.
 */
import fc from 'fast-check';

fc.configureGlobal({ ...fc.readConfigureGlobal(), defaultSizeToMaxWhenMaxSpecified: true });
