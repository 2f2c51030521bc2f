import { together } from '../together.js';

together('idxd');
