import { together } from '../together.js';

together('sysfs');
